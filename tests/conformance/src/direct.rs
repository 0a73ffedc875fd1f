//! Bad input in the direct form of CALL: the answers of CALL, whatever stands where.
use crate::{
    flip::flip,
    raw_ioctl::{Access, Handle, PAGE, Process, Sender, open},
};
use echo_interface::echo;
use edu_interface::edu;
use kp_abi::{
    Interface, Shape, Status, TransportStatus,
    limits::{MAX_DATA, MAX_DIRECT_MESSAGE},
    request::{Answer, Call, Close, Open, Query, Request, Segments, feature},
    zerocopy::{FromZeros, IntoBytes},
};

/// Runs the list; echo and edu are loaded. Gives the number of cases seen.
///
/// # Panics
/// At the first case with another answer.
pub fn run(process: &dyn Process) -> usize {
    let sender = Sender::new(process);
    let (buffer, data) = (process.map(PAGE as usize, Access::ReadWrite), process.map(2 * MAX_DATA, Access::ReadWrite));
    let list = List { sender, buffer, data, room: data + MAX_DATA as u64, seen: std::cell::Cell::new(0) };
    if !list.is_offered() {
        return list.seen.get();
    }
    list.sessions();
    list.answers_as_call();
    list.addresses();
    list.segments();
    list.nothing_changes();
    list.flipped();
    list.seen.get()
}

struct List<'p> {
    sender: Sender<'p>,
    /// A page for a call's buffer.
    buffer: u64,
    /// `MAX_DATA` bytes to send.
    data: u64,
    /// `MAX_DATA` bytes for a reply.
    room: u64,
    seen: std::cell::Cell<usize>,
}

/// A message's parts.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    message: u32,
    args: &'a [u8],
    data: &'a [u8],
    room: usize,
}

/// What an app is told: the status, its detail unless both sides know it anyway, and the reply.
#[derive(Debug, PartialEq, Eq)]
struct Answered {
    status: Status,
    detail: u32,
    reply: Vec<u8>,
}

const fn parts<'a>(message: u32, args: &'a [u8], data: &'a [u8], room: usize) -> Parts<'a> {
    Parts { message, args, data, room }
}

impl<'p> List<'p> {
    #[track_caller]
    fn is(&self, what: &str, got: Result<Status, Status>, want: Result<Status, Status>) {
        assert_eq!(got, want, "{what}");
        self.seen.set(self.seen.get() + 1);
    }

    fn handle(&self, plugin: &str) -> Box<dyn Handle + 'p> {
        self.sender.process.handle(plugin)
    }

    /// A session that was granted `features`.
    fn session_with(&self, plugin: &str, features: u64) -> Box<dyn Handle + 'p> {
        let handle = self.handle(plugin);
        let answer = self.sender.send(&*handle, Open { features, ..open(interface(plugin)) });
        assert_eq!((answer.status, answer.request.features), (Status::OK, features), "open {plugin}");
        handle
    }

    fn session(&self, plugin: &str) -> Box<dyn Handle + 'p> {
        self.session_with(plugin, feature::DIRECT)
    }

    /// Does the host have it? If not, direct calls are no request.
    fn is_offered(&self) -> bool {
        let handle = self.handle("echo");
        let query = self.sender.send(&*handle, Query::new()).request;
        let is_offered = query.features & feature::DIRECT != 0;
        if !is_offered {
            let answer = self.sender.send(&*handle, Open { features: feature::DIRECT, ..open(echo::INTERFACE) });
            assert_eq!((answer.status, answer.request.features), (Status::OK, 0), "what is not offered is not granted");
            self.is("not offered", handle.direct(4, self.buffer), Err(TransportStatus::UNKNOWN_REQUEST.status()));
        }
        is_offered
    }

    /// Sessions that may not call, and what comes before a buffer that cannot be read.
    fn sessions(&self) {
        let s = &self.sender;
        let fresh = self.handle("echo");
        self.is("before OPEN", fresh.direct(4, self.buffer), Ok(Status::NOT_OPEN));
        let answer: Answer = s.value(self.buffer);
        assert_eq!((answer.status, answer.detail), (Status::NOT_OPEN.0, 0), "the buffer says it too");
        self.is("before OPEN, an unknown message", fresh.direct(99, self.buffer), Ok(Status::NOT_OPEN));
        self.is("before OPEN, and nowhere to answer", fresh.direct(4, 8), Err(TransportStatus::FAULT.status()));
        let reader = s.process.read_only_handle("echo");
        self.is("for reading only", reader.direct(4, self.buffer), Err(TransportStatus::DENIED.status()));
        let old = self.session_with("echo", 0);
        self.is("not granted", old.direct(4, self.buffer), Err(TransportStatus::UNKNOWN_REQUEST.status()));
        let older = self.handle("echo");
        let answer = s.send(&*older, Open { abi_minor: 0, features: feature::DIRECT, ..open(echo::INTERFACE) });
        assert_eq!((answer.status, answer.request.features), (Status::OK, 0), "an ABI without it");
        self.is("of an older ABI", older.direct(4, self.buffer), Err(TransportStatus::UNKNOWN_REQUEST.status()));
        let session = self.session("echo");
        assert_eq!(s.send(&*session, Close::new()).status, Status::OK);
        for message in [1, 4, 5, 99] {
            self.is("after CLOSE", session.direct(message, self.buffer), Ok(Status::CLOSED));
        }
    }

    /// Writes a message into the buffer, as its shape wants it. `None`: the direct form cannot say this.
    fn put(&self, interface: &Interface, parts: &Parts<'_>) -> Option<Shape> {
        let process = self.sender.process;
        let shape = interface.method(parts.message).map_or(Shape::Fixed { args: 0, reply: 0 }, |method| method.shape());
        process.write(self.buffer, &[0xA5; 8]);
        match shape {
            Shape::Fixed { args, reply } => {
                if (args, 0, reply) != (parts.args.len(), parts.data.len(), parts.room) {
                    return None;
                }
                process.write(self.buffer + 8, parts.args);
            }
            Shape::Segments { args } => {
                if args != parts.args.len() {
                    return None;
                }
                process.write(self.data, parts.data);
                let segments = self.good(parts.data.len() as u32, parts.room as u32);
                process.write(self.buffer + 8, segments.as_bytes());
                process.write(self.buffer + 32, parts.args);
            }
        }
        Some(shape)
    }

    fn good(&self, in_len: u32, out_len: u32) -> Segments {
        Segments { in_len, out_len, in_addr: self.data, out_addr: self.room }
    }

    /// The direct form's answer.
    fn direct(&self, handle: &dyn Handle, interface: &Interface, parts: &Parts<'_>) -> Option<Answered> {
        let s = &self.sender;
        let shape = self.put(interface, parts)?;
        let status = handle.direct(parts.message, self.buffer).unwrap_or_else(|status| panic!("{status}: {parts:?}"));
        let answer: Answer = s.value(self.buffer);
        if status != Status::OK {
            assert_eq!(answer.status, status.0, "buffer and ioctl agree: {parts:?}");
            return Some(Answered { status, detail: answer.detail, reply: vec![] });
        }
        let (from, len) = match shape {
            Shape::Fixed { reply, .. } => (self.buffer + 8, reply),
            Shape::Segments { .. } => (self.room, answer.detail as usize),
        };
        if !matches!(shape, Shape::Fixed { args: 0, .. }) {
            assert_eq!(answer.status, Status::OK.0, "the answer's place was cleared: {parts:?}");
        }
        Some(Answered { status, detail: 0, reply: s.bytes(from, len) })
    }

    /// CALL's answer.
    fn call(&self, handle: &dyn Handle, parts: &Parts<'_>) -> Answered {
        let s = &self.sender;
        let answer = s.call(handle, parts.message, parts.args, parts.data, parts.room);
        if answer.status != Status::OK {
            return Answered { status: answer.status, detail: answer.detail, reply: vec![] };
        }
        Answered { status: Status::OK, detail: 0, reply: s.bytes(answer.request.out_addr, answer.detail as usize) }
    }

    /// Every message of both plugins, good and bad: both forms say the same.
    fn answers_as_call(&self) {
        let style = |style: u32, trim: u32| [style, trim].as_bytes().to_vec();
        let (plain, loud, no_style, no_trim) = (style(0, 3), style(1, 1), style(3, 0), style(0, 4));
        let large = vec![0x61; MAX_DATA];
        let echo_table = [
            parts(1, &[], b"hello", 4),
            parts(1, &[], b"", 4),
            parts(1, &[], &large, 4),
            parts(1, &[], b"hello", 3),
            parts(1, &[], b"hello", 0),
            parts(2, &[], b"", 16),
            parts(2, &[], b"", MAX_DATA),
            parts(2, &[], b"", 2),
            parts(2, &[], b"x", 16),
            parts(3, &plain, b" text ", 64),
            parts(3, &plain, b" text ", 3),
            parts(3, &loud, b" text ", 64),
            parts(3, &no_style, b"text", 64),
            parts(3, &no_trim, b"text", 64),
            parts(3, &plain, &large[..5000], 5000),
            parts(4, &[], b"", 16),
            parts(5, &[0; 4], b"", 0),
            parts(5, &[0xFF; 4], b"", 0),
            parts(6, &[], b"", 0),
            parts(0, &[], b"", 0),
            parts(255, &[], b"", 0),
            parts(MAX_DIRECT_MESSAGE, &[], b"", 0),
        ];
        let edu_table = [
            parts(1, &[], b"", 24),
            parts(2, &[], b"", 4),
            parts(3, &[1, 2, 3, 4], b"", 4),
            parts(4, &[5, 0, 0, 0], b"", 4),
            parts(5, &[0; 4], b"", 0),
            parts(6, &[0; 4], b"", 0),
            parts(7, &[], b"", 0),
        ];
        for (plugin, table) in [("echo", &echo_table[..]), ("edu", &edu_table[..])] {
            // A session each: what one says, it hears.
            let (directly, by_call) = (self.session(plugin), self.session(plugin));
            for parts in table {
                let told = self.direct(&*directly, interface(plugin), parts);
                let told = told.unwrap_or_else(|| panic!("the direct form can say {parts:?}"));
                assert_eq!(told, self.call(&*by_call, parts), "{plugin}, message {}", parts.message);
                self.seen.set(self.seen.get() + 1);
            }
        }
    }

    /// Buffers that cannot be read or written, for each shape.
    fn addresses(&self) {
        let process = self.sender.process;
        let handle = self.session("echo");
        let page = process.map(PAGE as usize, Access::ReadWrite);
        let read_only = process.map(PAGE as usize, Access::ReadOnly);
        process.write(read_only + 8, Segments::new_zeroed().as_bytes());
        let bad = [0, 8, page + PAGE, process.kernel_address(), 1 << 63, usize::MAX as u64 - 7, u64::MAX, read_only];
        // A 32-bit process cannot name them all.
        for address in bad.into_iter().filter(|address| usize::try_from(*address).is_ok()) {
            // Arguments; segments; an unknown message, which has only an answer; a reply alone, which is found after the handler.
            for message in [5, 1, 2, 3, 99, 4] {
                let what = format!("message {message} at {address:#x}");
                self.is(&what, handle.direct(message, address), Err(TransportStatus::FAULT.status()));
            }
        }
        // It ends within the answer, the arguments, the segments, the reply.
        for (message, needs) in [(5, 12), (1, 32), (2, 32), (3, 40), (4, 24)] {
            for there in [1, 7, needs - 1] {
                let what = format!("message {message}: {there} bytes of {needs}");
                self.is(&what, handle.direct(message, page + PAGE - there), Err(TransportStatus::FAULT.status()));
            }
            process.write(page + PAGE - needs, &vec![0; needs as usize]);
            let told = handle.direct(message, page + PAGE - needs);
            assert!(matches!(told, Ok(Status::OK | Status::OUTPUT_LENGTH)), "message {message} fits: {told:?}");
        }
    }

    /// Every length and address of the segments.
    fn segments(&self) {
        let process = self.sender.process;
        let handle = self.session("echo");
        let send = |what: &str, segments: Segments, want: Result<Status, Status>| {
            process.write(self.buffer + 8, segments.as_bytes());
            self.is(what, handle.direct(1, self.buffer), want);
        };
        let max = MAX_DATA as u32;
        for len in [0, 1, max - 1, max] {
            send("data that fits", self.good(len, 4), Ok(Status::OK));
            let want = if len < 4 { Status::OUTPUT_LENGTH } else { Status::OK };
            send("room that fits", self.good(5, len), Ok(want));
        }
        for len in [max + 1, 1 << 31, u32::MAX] {
            send("data above the limit", self.good(len, 4), Ok(Status::PAYLOAD_TOO_LARGE));
            send("room above the limit", self.good(5, len), Ok(Status::PAYLOAD_TOO_LARGE));
        }
        let mapped = process.map(PAGE as usize, Access::ReadWrite);
        let read_only = process.map(PAGE as usize, Access::ReadOnly);
        let good = self.good(5, 4);
        for bad in [0, 8, mapped + PAGE, mapped + PAGE - 2, process.kernel_address(), 1 << 63, u64::MAX - 3, u64::MAX] {
            send("data that is not there", Segments { in_addr: bad, ..good }, Err(TransportStatus::FAULT.status()));
            send(
                "a reply that cannot be written",
                Segments { out_addr: bad, ..good },
                Err(TransportStatus::FAULT.status()),
            );
        }
        send(
            "a reply where nobody writes",
            Segments { out_addr: read_only, ..good },
            Err(TransportStatus::FAULT.status()),
        );
        send("data where nobody writes", Segments { in_addr: read_only, ..good }, Ok(Status::OK));
        let wide = Segments { in_len: max, out_len: 4, in_addr: mapped, out_addr: self.room };
        send("data that ends in an unmapped page", wide, Err(TransportStatus::FAULT.status()));
    }

    /// What is refused changes nothing.
    fn nothing_changes(&self) {
        let handle = self.session("echo");
        let said = |want: [u64; 2]| {
            let told = self.direct(&*handle, echo::INTERFACE, &parts(4, &[], b"", 16)).expect("a fixed shape");
            assert_eq!((told.status, told.reply), (Status::OK, want.as_bytes().to_vec()));
        };
        self.put(echo::INTERFACE, &parts(1, &[], b"hello", 4));
        self.is("say", handle.direct(1, self.buffer), Ok(Status::OK));
        said([1, 5]);
        self.put(echo::INTERFACE, &parts(1, &[], b"other", 3));
        self.is("say into no room", handle.direct(1, self.buffer), Ok(Status::OUTPUT_LENGTH));
        let kernel = self.sender.process.kernel_address();
        for segments in [
            Segments { in_addr: 8, ..self.good(5, 4) },
            Segments { out_addr: kernel, ..self.good(5, 4) },
            self.good(1 << 31, 4),
        ] {
            self.sender.process.write(self.buffer + 8, segments.as_bytes());
            let told = handle.direct(1, self.buffer);
            let refused = [Err(TransportStatus::FAULT.status()), Ok(Status::PAYLOAD_TOO_LARGE)];
            assert!(refused.contains(&told), "{told:?}");
        }
        said([1, 5]);
        // An answer that cannot be written is found before the handler runs.
        let read_only = self.sender.process.map(PAGE as usize, Access::ReadOnly);
        self.sender.process.write(read_only + 8, self.good(5, 4).as_bytes());
        self.is("say, and no answer", handle.direct(1, read_only), Err(TransportStatus::FAULT.status()));
        said([1, 5]);
        // Only what was written leaves the kernel.
        self.sender.process.write(self.room, &[0xA5; 16]);
        let told = self.direct(&*handle, echo::INTERFACE, &parts(2, &[], b"", 16)).expect("a list");
        assert_eq!(told.reply, b"hello");
        assert_eq!(self.sender.bytes(self.room + 5, 11), [0xA5; 11]);
    }

    /// A second thread flips the length and the address while calls are made: each call has one of the answers of a call that was sent whole.
    fn flipped(&self) {
        let process = self.sender.process;
        let handle = self.session("echo");
        self.put(echo::INTERFACE, &parts(1, &[], b"hello", 4));
        let (in_len, in_addr) = (self.buffer + 8, self.buffer + 16);
        let states = [(5u32, self.data), (1 << 31, self.data), (5, 8), (0, 8)];
        let write = |state: usize| {
            let (len, address) = states[state];
            process.write(in_len, &len.to_le_bytes());
            process.write(in_addr, &address.to_le_bytes());
        };
        let answers = [Ok(Status::OK), Ok(Status::PAYLOAD_TOO_LARGE), Err(TransportStatus::FAULT.status())];
        flip(states.len(), write, &answers, || handle.direct(1, self.buffer));
        assert_eq!(self.sender.send(&*handle, Call { message: 4, ..Call::new() }).status, Status::OUTPUT_LENGTH);
        self.put(echo::INTERFACE, &parts(1, &[], b"hello", 4));
        self.is("say", handle.direct(1, self.buffer), Ok(Status::OK));
    }
}

fn interface(plugin: &str) -> &'static Interface {
    if plugin == "echo" { echo::INTERFACE } else { edu::INTERFACE }
}
