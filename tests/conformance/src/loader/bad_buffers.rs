//! What Wine cannot show: bad addresses as buffers, memory that changes during a call, requests that come another way than straight from the
//! app, access of a handle, who may open a device, paths behind its name, and waits on a handle for one request at a time.
use super::{
    Loader, path,
    raw_ioctl::{LoaderProcess, answer, answer_to},
};
use crate::{
    Subject,
    flip::flip,
    raw_ioctl::{Access, PAGE, Process},
    registry::guest_test,
};
use kp_abi::{
    Status, TransportStatus,
    request::{
        ANY_VECTOR, CTL_DEVICE, Call, Head, IntEnable, IntWait, NO_TIMEOUT, Open, Query, Request, control_code, kind,
    },
    zerocopy::FromBytes,
};
use std::mem::offset_of;
use windows_loader::{Buffer, Entry, Handle, Mode, Token, access};

const HEAD: u32 = size_of::<Head>() as u32;
const READ_WRITE: u32 = access::READ | access::WRITE;

/// Every bad request of the lists, and what only this host can send, has its status.
#[guest_test("loader bad-input", stage = "loader")]
fn bad_input(drivers: &str) {
    let mut world = Loader::loaded(drivers);
    let process = LoaderProcess::new(&world);
    let seen = crate::bad_input::run(&process) + crate::codes::run(&process) + run(&world, &process);
    drop(process);
    println!("{seen} bad requests, each with its status");
    world.unload_all();
}

/// Random requests, and a tenth as many with buffers anywhere, leave a driver that works.
#[guest_test("loader fuzz", stage = "loader", short = "1 1000000")]
fn fuzz(seed: u64, requests: u64, drivers: &str) {
    let mut world = Loader::loaded(drivers);
    let process = LoaderProcess::new(&world);
    println!("seed {seed}, {requests} requests, and {} with buffers anywhere", requests / 10);
    print!("{}", crate::fuzz::run(&process, seed, requests));
    random(&world, &process, seed, requests / 10);
    drop(process);
    world.unload_all();
}

/// Runs the list; echo and edu are loaded. Gives the number of cases seen.
fn run(world: &Loader, process: &LoaderProcess<'_>) -> usize {
    let list = List { world, process };
    list.call_buffers()
        + list.other_buffers()
        + list.flipped()
        + list.contexts()
        + list.accesses()
        + list.openers()
        + list.paths()
        + list.synchronous()
}

struct List<'w> {
    world: &'w Loader,
    process: &'w LoaderProcess<'w>,
}

fn code<R: Request>() -> u32 {
    control_code(R::NR).expect("each request has a code")
}

/// A struct as it is sent.
fn bytes<R: Request>(mut request: R) -> Vec<u8> {
    request.head().size = size_of::<R>() as u32;
    request.as_bytes().to_vec()
}

impl List<'_> {
    fn handle(&self, subject: Subject, access: u32, mode: Mode) -> Handle {
        let handle = self.world.get(subject).process.open(path(subject), access, mode);
        handle.unwrap_or_else(|status| panic!("{}: {status:#x}", path(subject)))
    }

    fn session(&self, subject: Subject, mode: Mode) -> Handle {
        let handle = self.handle(subject, READ_WRITE, mode);
        let mut open = bytes(crate::raw_ioctl::open(subject.interface()));
        let done = handle.control(code::<Open>(), Buffer::input(&open.clone()), Buffer::output(&mut open));
        assert_eq!((done.status, status_of(&open)), (0, Status::OK), "a session");
        handle
    }

    /// Addresses that are not the app's to read, or not to write, with why.
    fn bad_addresses(&self) -> Vec<(&'static str, u64)> {
        let page = self.process.map(PAGE as usize, Access::ReadWrite);
        // A struct whose size can be read, but no more of it.
        self.process.write(page + PAGE - 8, &(size_of::<Call>() as u32).to_le_bytes());
        vec![
            ("null", 0),
            ("low", 8),
            ("unmapped", page + PAGE),
            ("half mapped", page + PAGE - 8),
            ("the kernel's memory", self.process.kernel_address()),
            ("the kernel's half", 0xFFFF_8000_0000_1000),
            ("the last user page's end", 0x7FFF_FFFE_FFF8),
            ("not canonical", 1 << 63),
            ("the last there is", u64::MAX - 7),
        ]
    }

    /// A CALL, whose buffers are the app's own, wherever it says.
    fn call_buffers(&self) -> usize {
        let handle = self.session(Subject::Echo, Mode::Overlapped);
        let say = bytes(Call { message: 1, in_len: 5, out_len: 4, ..Call::new() });
        let input = [&say[..], b"hello"].concat();
        let place = self.process.map(PAGE as usize, Access::ReadWrite);
        self.process.write(place, &input);
        let good_input = Buffer { address: place as usize, len: input.len() as u32 };
        let output = self.process.map(PAGE as usize, Access::ReadWrite);
        let good_output = Buffer { address: output as usize, len: HEAD + 4 };
        let send = |input: Buffer, output: Buffer| answer(handle.control(code::<Call>(), input, output));
        assert_eq!(send(good_input, good_output), Ok(HEAD as usize + 4), "a call with good buffers");
        let mut seen = 0;
        for (what, address) in self.bad_addresses() {
            let bad = |len: u32| Buffer { address: address as usize, len };
            assert_eq!(
                send(bad(input.len() as u32), good_output),
                Err(TransportStatus::FAULT.status()),
                "an in-buffer that is {what}"
            );
            assert_eq!(
                send(good_input, bad(HEAD + 4)),
                Err(TransportStatus::FAULT.status()),
                "an out-buffer that is {what}"
            );
            assert_eq!(
                send(bad(u32::MAX), good_output),
                Err(TransportStatus::FAULT.status()),
                "a huge in-buffer that is {what}"
            );
            seen += 3;
        }
        let read_only = self.process.map(PAGE as usize, Access::ReadOnly);
        let bad = Buffer { address: read_only as usize, len: HEAD + 4 };
        assert_eq!(send(good_input, bad), Err(TransportStatus::FAULT.status()), "an out-buffer that is read-only");
        // The head fits into the page, the reply does not: found after the handler ran.
        let cut = Buffer { address: (output + PAGE) as usize - HEAD as usize, len: HEAD + 4 };
        assert_eq!(
            send(good_input, cut),
            Err(TransportStatus::FAULT.status()),
            "an out-buffer whose reply is not there"
        );
        assert_eq!(send(good_input, good_output), Ok(HEAD as usize + 4), "the session still works");
        seen + 3
    }

    /// Every other request: the kernel copies its buffers, and refuses bad ones before the driver is asked.
    fn other_buffers(&self) -> usize {
        let handle = self.session(Subject::Echo, Mode::Overlapped);
        let query = bytes(Query::new());
        let mut seen = 0;
        for (what, address) in self.bad_addresses() {
            let bad = Buffer { address: address as usize, len: query.len() as u32 };
            let mut room = query.clone();
            let answers = [
                handle.control(code::<Query>(), bad, Buffer::output(&mut room)),
                handle.control(code::<Query>(), Buffer::input(&query), bad),
            ];
            for done in answers {
                assert_eq!(answer(done), Err(TransportStatus::FAULT.status()), "a buffer that is {what}");
                seen += 1;
            }
        }
        seen
    }

    /// A second thread changes the struct while calls are made, its size too: each has the answer of a call that was sent whole, and each
    /// of these answers is seen.
    fn flipped(&self) -> usize {
        const SIZE: u32 = size_of::<Call>() as u32;
        /// Size, message and length of the data: good, and bad for one reason each.
        const STATES: [[u32; 3]; 6] =
            [[SIZE, 1, 5], [SIZE, 99, 5], [SIZE, 1, 1 << 31], [SIZE, 5, 0], [SIZE - 8, 1, 5], [SIZE | 1 << 24, 1, 5]];
        let handle = self.session(Subject::Echo, Mode::Overlapped);
        let input = [&bytes(Call { message: 1, in_len: 5, out_len: 4, ..Call::new() })[..], b"hello"].concat();
        let place = self.process.map(PAGE as usize, Access::ReadWrite);
        self.process.write(place, &input);
        let places = [offset_of!(Call, head), offset_of!(Call, message), offset_of!(Call, in_len)];
        let write = |state: usize| {
            for (at, value) in places.into_iter().zip(STATES[state]) {
                self.process.write(place + at as u64, &value.to_le_bytes());
            }
        };
        let answers = [
            Status::OK,
            Status::TOO_SMALL, // above the buffer's length too
            Status::UNKNOWN_MESSAGE,
            Status::PAYLOAD_TOO_LARGE,
            Status::INPUT_LENGTH,
        ];
        flip(STATES.len(), write, &answers, || {
            let mut output = [0; HEAD as usize + 4];
            let input = Buffer { address: place as usize, len: input.len() as u32 };
            let done = handle.control(code::<Call>(), input, Buffer::output(&mut output));
            answer(done).map_or_else(|status| status, |_| status_of(&output))
        });
        1
    }

    /// The app's addresses mean something in its own process only: a CALL that a driver above has passed on elsewhere, or has made
    /// itself, reaches no plugin. Other requests are the kernel's copies wherever they come.
    fn contexts(&self) -> usize {
        let handle = self.session(Subject::Echo, Mode::Overlapped);
        let elsewhere = self.world.get(Subject::Echo).machine.process(Token::Administrator);
        let say = [&bytes(Call { message: 1, in_len: 5, out_len: 4, ..Call::new() })[..], b"hello"].concat();
        let mut output = [0; HEAD as usize + 16];
        for sends_elsewhere in [true, false] {
            let mut send = |code: u32, input: &[u8]| {
                let (input, output) = (Buffer::input(input), Buffer::output(&mut output));
                answer(match sends_elsewhere {
                    true => handle.control_passed_on(&elsewhere, code, input, output),
                    false => handle.control_by_a_driver(code, input, output),
                })
            };
            assert_eq!(
                send(code::<Call>(), &say),
                Err(TransportStatus::WRONG_CONTEXT.status()),
                "a call, elsewhere: {sends_elsewhere}"
            );
            assert!(send(code::<Query>(), &bytes(Query::new())).is_ok(), "a query, elsewhere: {sends_elsewhere}");
        }
        let said = bytes(Call { message: 4, out_len: 16, ..Call::new() });
        let done = handle.control(code::<Call>(), Buffer::input(&said), Buffer::output(&mut output));
        assert_eq!((answer(done), status_of(&output)), (Ok(output.len()), Status::OK));
        assert_eq!(output[HEAD as usize..], [0; 16], "nothing was said");
        5
    }

    /// Each request, on handles for reading, for writing, and for both.
    fn accesses(&self) -> usize {
        let mut seen = 0;
        for (has, name) in [(access::READ, "reading"), (access::WRITE, "writing"), (READ_WRITE, "both")] {
            let handle = self.handle(Subject::Echo, has, Mode::Overlapped);
            for nr in 0..8 {
                let code = control_code(nr).expect("the first eight are requests");
                let wanted = code >> 14 & 3;
                let mut output = [0; 256];
                let done = handle.control(code, Buffer::input(&[0; 256]), Buffer::output(&mut output));
                let want = if wanted & !has != 0 { Err(TransportStatus::DENIED.status()) } else { Ok(HEAD as usize) };
                assert_eq!(answer(done), want, "request {nr} on a handle for {name}");
                seen += 1;
            }
        }
        seen
    }

    /// Only the system and administrators open a device; the list of rights says so.
    fn openers(&self) -> usize {
        let mut seen = 0;
        for subject in [Subject::Echo, Subject::Edu] {
            let loaded = self.world.get(subject);
            for (token, opens) in [(Token::System, true), (Token::Administrator, true), (Token::User, false)] {
                for access in [access::READ, READ_WRITE] {
                    let opened = loaded.machine.process(token).open(path(subject), access, Mode::Overlapped);
                    assert_eq!(opened.is_ok(), opens, "{token:?} opens {}", path(subject));
                    seen += 1;
                }
            }
        }
        let dacl = self.world.get(Subject::Echo).machine.dacl(path(Subject::Echo)).expect("a list of rights was set");
        let entry = |account: &str| Entry { allows: true, mask: access::ALL, account: account.into() };
        assert_eq!(dacl.entries, ["S-1-5-18", "S-1-5-32-544"].map(entry), "who may open it");
        assert!(dacl.is_protected, "nothing is inherited");
        seen + 1
    }

    /// A path behind the name opens nothing: the driver has nothing there.
    fn paths(&self) -> usize {
        let mut seen = 0;
        for subject in [Subject::Echo, Subject::Edu] {
            for tail in [r"\", r"\x", r"\x\y", ":x", "x", r"\..\kp-echo"] {
                let path = format!("{}{tail}", path(subject));
                let opened = self.world.get(subject).process.open(&path, READ_WRITE, Mode::Overlapped);
                assert!(opened.is_err(), "{path} opens");
                seen += 1;
            }
        }
        seen
    }

    /// On a handle for one request at a time a wait that could last would keep INT_DISABLE out.
    fn synchronous(&self) -> usize {
        let handle = self.session(Subject::Edu, Mode::Synchronous);
        let send = |code: u32, mut request: Vec<u8>| {
            let done = handle.control(code, Buffer::input(&request.clone()), Buffer::output(&mut request));
            assert_eq!(done.status, 0);
            status_of(&request)
        };
        let enable = IntEnable { kinds: kind::ANY, min: 1, max: 1, ..IntEnable::new() };
        assert_eq!(send(code::<IntEnable>(), bytes(enable)), Status::OK);
        let wait = |timeout_ns: u64| {
            let wait = IntWait { timeout_ns, vector: ANY_VECTOR, max: 1, ..IntWait::new() };
            send(code::<IntWait>(), bytes(wait))
        };
        assert_eq!(wait(NO_TIMEOUT), Status::NEEDS_OVERLAPPED, "a wait without end");
        assert_eq!(wait(1), Status::NEEDS_OVERLAPPED, "a wait of a nanosecond");
        assert_eq!(wait(0), Status::TIMEOUT, "a question");
        3
    }
}

fn status_of(reply: &[u8]) -> Status {
    Status(Head::read_from_prefix(reply).expect("a reply has a head").0.status)
}

/// Random buffers for CALL, which are the app's own, and random codes: whatever comes, the driver answers, and works afterwards.
fn random(world: &Loader, process: &LoaderProcess<'_>, seed: u64, requests: u64) {
    let list = List { world, process };
    let mut random = crate::raw_ioctl::Random(seed);
    let handle = list.session(Subject::Echo, Mode::Overlapped);
    let place = process.map(4 * PAGE as usize, Access::ReadWrite);
    let say = [&bytes(Call { message: 1, in_len: 5, out_len: 4, ..Call::new() })[..], b"hello"].concat();
    for _ in 0..requests {
        process.write(place, &say);
        let mut buffer = |good: u32| {
            let address = match random.below(8) {
                0 => process.kernel_address() + random.below(PAGE),
                1 => random.next(),
                2 => place + 4 * PAGE - random.below(128),
                3 => place + random.below(4 * PAGE),
                _ => place,
            };
            let len = match random.below(4) {
                0 => random.below(256) as u32,
                1 => random.next() as u32,
                _ => good,
            };
            Buffer { address: address as usize, len }
        };
        let (input, output) = (buffer(say.len() as u32), buffer(HEAD + 4));
        let any = CTL_DEVICE << 16 | (random.next() as u32 & 0xFFFF);
        let code = if random.below(4) == 0 { any } else { code::<Call>() };
        if control_code(IntWait::NR) != Some(code) {
            // Any answer is one of the transport's, or in the head.
            let _ = answer_to(code, handle.control(code, input, output));
        }
    }
    drop(handle);
    drop(list.session(Subject::Echo, Mode::Overlapped));
}
