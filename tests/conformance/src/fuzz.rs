//! Random requests: half of them valid ones with one to three fields changed. A seed makes the run; nothing else does.
use crate::raw_ioctl::{Access, Handle, PAGE, Process, Random, Sender, open};
use echo_interface::echo;
use edu_interface::edu;
use kp_abi::{
    Interface, Shape, Status, TransportStatus,
    limits::MAX_DIRECT_MESSAGE,
    request::{
        self, ANY_VECTOR, Answer, CALL_DIRECT, Call, Close, IntCount, IntDisable, IntEnable, IntWait, Open, Query,
        Request, RingEnter, RingSetup, RingTeardown, Schema, Segments, feature, kind,
    },
    ring::ENTER_DIRECT,
    zerocopy::IntoBytes,
};
use std::{collections::BTreeMap, fmt};

/// Statuses that a run of some length has to see, all of which the list of requests can reach.
const REACHABLE: &[Status] = &[
    Status::OK,
    TransportStatus::UNKNOWN_REQUEST.status(),
    TransportStatus::FAULT.status(),
    Status::TOO_SMALL,
    Status::TOO_LARGE,
    Status::UNKNOWN_TAIL,
    Status::UNKNOWN_FLAG,
    Status::BAD_FIELD,
    Status::UNKNOWN_MESSAGE,
    Status::INPUT_LENGTH,
    Status::OUTPUT_LENGTH,
    Status::PAYLOAD_TOO_LARGE,
    Status::BAD_VALUE,
    Status::ABI_MISMATCH,
    Status::INTERFACE_MISMATCH,
    Status::NOT_OPEN,
    Status::ALREADY_OPEN,
    Status::CLOSED,
    Status::NOT_ENABLED,
    Status::NO_RING,
    Status::NO_BUFFER,
    Status::ALREADY_ENABLED,
    Status::INTERRUPT_OWNED,
    Status::NO_INTERRUPT,
    Status::TIMEOUT,
    Status::BAD_VECTOR,
    Status::PLUGIN_ERROR,
];

/// Those of them that only a plugin with an interrupt answers.
const OF_DEVICE: &[Status] = &[Status::ALREADY_ENABLED, Status::INTERRUPT_OWNED, Status::TIMEOUT, Status::BAD_VECTOR];

/// What a run saw.
pub struct Histogram {
    seed: u64,
    requests: u64,
    /// Calls that a plugin's own code answered, for all that can be told: what is refused before it is not among them.
    handled: u64,
    statuses: BTreeMap<u32, u64>,
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {:#x}: {} requests, {} reached a handler", self.seed, self.requests, self.handled)?;
        self.statuses.iter().try_for_each(|(status, count)| writeln!(f, "{count:>9} {}", Status(*status)))
    }
}

/// Sends `requests` random requests; echo is loaded, and edu if there is a device. Every other one is valid but for up to three fields.
///
/// # Panics
/// If fewer than a fifth reached a handler, a status of the list was not seen, memory beside the buffers changed, or a normal
/// session does not work afterwards.
pub fn run(process: &dyn Process, seed: u64, requests: u64) -> Histogram {
    let mut fuzz = Fuzz::new(process, seed);
    for _ in 0..requests {
        fuzz.one();
    }
    fuzz.handles.clear();
    let seen = Histogram { seed, requests, handled: fuzz.handled, statuses: std::mem::take(&mut fuzz.statuses) };
    fuzz.check(&seen);
    seen
}

/// A struct of any request, as bytes, and its number. Or the buffer of a direct call, and its message.
struct Prepared {
    nr: u32,
    message: u32,
    bytes: Vec<u8>,
    /// Where fields are that may be changed, and how wide.
    fields: Vec<(usize, usize)>,
}

/// Where a direct call's segments have the address of the room for the reply.
const DIRECT_OUT_ADDR: usize = size_of::<Answer>() + core::mem::offset_of!(Segments, out_addr);

fn prepared<R: Request>(request: R) -> Prepared {
    let starts = R::INFO.fields.iter().map(|(at, _)| *at).chain([size_of::<R>()]);
    let starts: Vec<usize> = [0, 4].into_iter().chain(starts).collect();
    let fields = starts.windows(2).map(|pair| (pair[0], (pair[1] - pair[0]).min(8))).collect();
    Prepared { nr: R::NR, message: 0, bytes: request.as_bytes().to_vec(), fields }
}

/// A call in the direct form, if that can say it. Arguments stay as they are: they are those of messages that take their time.
fn directly(interface: &Interface, call: &Call, args: &[u8]) -> Option<Prepared> {
    let mut bytes = vec![0xA5; size_of::<Answer>()];
    let mut fields = vec![];
    match interface.method(call.message)?.shape() {
        Shape::Fixed { args: its, .. } if its != args.len() => return None,
        Shape::Fixed { .. } => {}
        Shape::Segments { .. } => {
            let Call { in_len, out_len, in_addr, out_addr, .. } = *call;
            bytes.extend(Segments { in_len, out_len, in_addr, out_addr }.as_bytes());
            fields.extend([(8, 4), (12, 4), (16, 8), (DIRECT_OUT_ADDR, 8)]);
        }
    }
    bytes.extend(args);
    Some(Prepared { nr: CALL_DIRECT, message: call.message, bytes, fields })
}

fn interface(plugin: &str) -> &'static Interface {
    if plugin == "echo" { echo::INTERFACE } else { edu::INTERFACE }
}

struct Fuzz<'p> {
    sender: Sender<'p>,
    /// What the random numbers began with, for whoever wants the run again.
    seed: u64,
    random: Random,
    handles: Vec<(&'static str, Box<dyn Handle + 'p>)>,
    /// Input, output, and a page between and around them that nothing may change.
    input: u64,
    output: u64,
    canary: u64,
    /// Does the host have direct calls?
    is_direct: bool,
    handled: u64,
    statuses: BTreeMap<u32, u64>,
}

/// The number of the buffer that a ring is made of, where none is mapped.
const BUFFER: u32 = 1;
/// What the canary page holds.
const CANARY: u8 = 0xC5;
/// Pages of input and of output.
const PAGES: u64 = 17;

impl<'p> Fuzz<'p> {
    fn new(process: &'p dyn Process, seed: u64) -> Self {
        let input = process.map(((2 * PAGES + 1) * PAGE) as usize, Access::ReadWrite);
        let canary = input + PAGES * PAGE;
        process.write(canary, &[CANARY; PAGE as usize]);
        let mut fuzz = Self {
            sender: Sender::new(process),
            seed,
            random: Random(seed),
            handles: Vec::new(),
            input,
            output: canary + PAGE,
            canary,
            is_direct: false,
            handled: 0,
            statuses: BTreeMap::new(),
        };
        for _ in 0..2 {
            for plugin in ["echo", if process.has_device() { "edu" } else { "echo" }] {
                fuzz.handles.push((plugin, process.handle(plugin)));
            }
        }
        let query = fuzz.sender.send(&*fuzz.handles[0].1, Query::new()).request;
        fuzz.is_direct = query.features & feature::DIRECT != 0;
        fuzz
    }

    fn one(&mut self) {
        let at = self.random.below(self.handles.len() as u64) as usize;
        if self.random.below(64) == 0 {
            self.renew(at);
        }
        let plugin = self.handles[at].0;
        let mut request = self.valid(plugin);
        match self.random.below(8) {
            0..4 => {
                for _ in 0..=self.random.below(3) {
                    self.change(&mut request);
                }
            }
            // Noise for arguments would have a message take its time.
            4 if request.nr != CALL_DIRECT || !request.fields.is_empty() => self.scramble(&mut request),
            _ => {}
        }
        self.send(at, request);
    }

    /// Opens a node anew, and mostly its session too. The old one closes as it is.
    fn renew(&mut self, at: usize) {
        let plugin = self.handles[at].0;
        self.handles[at].1 = self.sender.process.handle(plugin);
        if self.random.below(8) != 0 {
            self.sender.open(&*self.handles[at].1, interface(plugin));
            let process = self.sender.process;
            if process.lends() && !process.maps_rings() && self.random.below(2) == 0 {
                // Of too many sessions one is not open.
                let _ = self.handles[at].1.lend(BUFFER, 2 * PAGE as usize);
            }
        }
    }

    /// A valid request of any kind; calls above all.
    fn valid(&mut self, plugin: &str) -> Prepared {
        let interface = interface(plugin);
        match self.random.below(24) {
            0 => prepared(Query::new()),
            1 => prepared(open(interface)),
            2 => prepared(Open { message_count: 1, fingerprint: interface.chain(1), ..open(interface) }),
            3 => {
                let kinds = self.random.of(&[kind::LINE, kind::MSI, kind::ANY]);
                prepared(IntEnable { kinds, min: 1, max: self.random.of(&[1, 4]), ..IntEnable::new() })
            }
            4 => prepared(IntWait { vector: self.random.of(&[0, ANY_VECTOR]), max: 1, ..IntWait::new() }),
            5 => prepared(IntCount { vector: self.random.of(&[0, ANY_VECTOR]), ..IntCount::new() }),
            6 if self.random.below(2) == 0 => prepared(IntDisable::new()),
            6 if self.random.below(8) == 0 => prepared(Close::new()),
            7 if self.random.below(4) == 0 => {
                let entries = self.random.of(&[1, 8, 4096]);
                let buffer = if self.sender.process.maps_rings() { self.random.of(&[0, 0, 0, 1]) } else { BUFFER };
                let data_len = self.random.of(&[0, 100, 70_000]);
                prepared(RingSetup { entries, data_len, buffer, ..RingSetup::new() })
            }
            8 if self.random.below(2) == 0 => prepared(RingEnter { to_submit: 8, ..RingEnter::new() }),
            8 if self.random.below(4) == 0 => prepared(RingTeardown::new()),
            9 if self.random.below(2) == 0 => {
                let offset = self.random.of(&[0, 1, 100, echo::SCHEMA.len() as u32]);
                let len = self.random.of(&[0, 1, 200, 5000, 65_536]);
                prepared(Schema { offset, len, addr: self.output, ..Schema::new() })
            }
            _ => self.call(plugin),
        }
    }

    fn call(&mut self, plugin: &str) -> Prepared {
        let mut data_len = self.random.of(&[0u32, 1, 5, 200, 300, 1000]);
        if self.random.below(32) == 0 {
            data_len = 65_536;
        }
        let number = self.random.next() as u32;
        let (message, args, in_len, out_len): (u32, Vec<u8>, u32, u32) = match (plugin, self.random.below(6)) {
            ("echo", 0 | 1) => (1, vec![], data_len, 4),
            ("echo", 2) => (2, vec![], 0, 65_536),
            ("echo", 3) => (3, [number % 4, number % 5].as_bytes().to_vec(), data_len.min(5000), 5000),
            ("echo", 4) => (4, vec![], 0, 16),
            // Never a nap of any length: it is too long, or it is none.
            ("echo", _) => (5, self.random.of(&[0u32, 60_001, u32::MAX]).as_bytes().to_vec(), 0, 0),
            (_, 0) => (1, vec![], 0, 24),
            (_, 1) => (2, vec![], 0, 4),
            (_, 2) => (3, number.as_bytes().to_vec(), 0, 4),
            (_, 3) => (4, (number % 20).as_bytes().to_vec(), 0, 4),
            (_, 4) => (5, (number % 4).as_bytes().to_vec(), 0, 0),
            _ => (6, (number % 4).as_bytes().to_vec(), 0, 0),
        };
        // Arguments and data in one place, as the client library sends small messages, or apart.
        let (args_addr, in_addr) = (self.input, self.input + (args.len() as u64).next_multiple_of(8));
        self.sender.process.write(args_addr, &args);
        let args_len = args.len() as u32;
        let out_addr = self.output;
        let call = Call { message, args_len, in_len, out_len, args_addr, in_addr, out_addr, ..Call::new() };
        let direct =
            if self.is_direct && self.random.below(2) == 0 { directly(interface(plugin), &call, &args) } else { None };
        direct.unwrap_or_else(|| prepared(call))
    }

    /// Changes a direct call's message, to one that takes no time whatever its arguments are.
    fn change_message(&mut self, request: &mut Prepared) {
        let none = 16 + self.random.below(u64::from(MAX_DIRECT_MESSAGE) - 16) as u32;
        request.message = self.random.of(&[0, 1, 2, 3, 7, 99, none, MAX_DIRECT_MESSAGE]);
    }

    /// Changes one field.
    fn change(&mut self, request: &mut Prepared) {
        if request.nr == CALL_DIRECT && (request.fields.is_empty() || self.random.below(4) == 0) {
            return self.change_message(request);
        }
        let (at, width) = self.random.of(&request.fields);
        if request.nr == IntWait::NR && at == core::mem::offset_of!(IntWait, timeout_ns) {
            let short = self.random.below(1000); // a wait without end would end the run
            request.bytes[at..][..8].copy_from_slice(short.as_bytes());
            return;
        }
        let bit = self.random.below(8 * width as u64);
        let value = match self.random.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => self.random.below(64),
            3 => self.random.next(),
            4 => 1 << bit,
            5 => self.input + self.random.below(2 * PAGE),
            6 => self.random.of(&[55, 57, 64, 96, 4096, 4097, 65_536, 65_537, self.sender.process.kernel_address()]),
            _ => {
                let mut old = [0; 8];
                old[..width].copy_from_slice(&request.bytes[at..at + width]);
                u64::from_le_bytes(old) ^ (1 << bit)
            }
        };
        let is_room = match request.nr {
            Call::NR => at == core::mem::offset_of!(Call, out_addr),
            Schema::NR => at == core::mem::offset_of!(Schema, addr),
            CALL_DIRECT => at == DIRECT_OUT_ADDR,
            _ => false,
        };
        if is_room && self.hits_canary(value) {
            return; // a reply there would be what was asked for
        }
        request.bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }

    fn hits_canary(&self, address: u64) -> bool {
        (self.canary - 65_536..self.canary + PAGE).contains(&address) || (self.input..self.canary).contains(&address)
    }

    /// A struct of nothing but noise, with a size that fits or not.
    fn scramble(&mut self, request: &mut Prepared) {
        for at in (0..request.bytes.len()).step_by(8) {
            let word = self.random.next();
            let end = request.bytes.len().min(at + 8);
            request.bytes[at..end].copy_from_slice(&word.as_bytes()[..end - at]);
        }
        if request.nr == IntWait::NR {
            request.bytes[16..24].fill(0);
        }
        if request.nr == CALL_DIRECT {
            return;
        }
        if self.random.below(4) != 0 {
            let size = request.bytes.len() as u32;
            request.bytes[..4].copy_from_slice(size.as_bytes());
            request.bytes[4..8].fill(0);
        }
        if self.random.below(8) == 0 {
            request.nr = match self.random.below(256) as u32 {
                CALL_DIRECT => Query::NR, // it has no struct
                nr => nr,
            };
        }
        if request.nr == IntWait::NR && request.bytes.len() < size_of::<IntWait>() {
            request.nr = Query::NR; // what lies behind it would be the timeout
        }
    }

    fn send(&mut self, at: usize, request: Prepared) {
        let process = self.sender.process;
        let place = match self.random.below(256) {
            _ if !process.sends_addresses() => self.sender.place,
            0 => process.kernel_address(),
            1 => self.random.next(),
            2 => self.sender.place + 2 * PAGE - self.random.below(64), // across the end
            _ => self.sender.place,
        };
        let whole = place == self.sender.place;
        if whole {
            process.write(place, &request.bytes);
            // What lies behind the struct is zero, or it is not.
            let tail = [u8::from(self.random.below(2) == 0) * 0x55; 64];
            process.write(place + request.bytes.len() as u64, &tail);
        } else if request.nr == IntWait::NR {
            return; // what lies there would be the timeout
        }
        let handle = &*self.handles[at].1;
        let told = match request.nr {
            CALL_DIRECT => handle.direct(request.message, place),
            nr => handle.send(nr, place).map(|()| Status::OK),
        };
        let status = match told {
            Err(status) => status,
            Ok(status) if request.nr == CALL_DIRECT => {
                if whole && status != Status::OK {
                    assert_eq!(
                        self.sender.value::<Answer>(place).status,
                        status.0,
                        "seed {:#x}: the buffer and the ioctl disagree",
                        self.seed
                    );
                }
                status
            }
            Ok(_) if whole && request.nr != ENTER_DIRECT => Status(self.sender.value::<request::Head>(place).status),
            Ok(status) => status,
        };
        assert_ne!(status, Status::NO_REPLY, "seed {:#x}: request {} left no answer", self.seed, request.nr);
        // What else a handler may answer, `dispatch` answers too, before it.
        let of_handler = matches!(status, Status::OK | Status::PLUGIN_ERROR);
        self.handled += u64::from(matches!(request.nr, Call::NR | CALL_DIRECT) && of_handler);
        *self.statuses.entry(status.0).or_default() += 1;
        if status == Status::CLOSED && self.random.below(4) == 0 {
            self.renew(at);
        }
    }

    fn check(&self, seen: &Histogram) {
        let process = self.sender.process;
        assert!(seen.handled * 5 >= seen.requests, "fewer than a fifth reached a handler\n{seen}");
        for status in REACHABLE.iter().filter(|status| process.has_device() || !OF_DEVICE.contains(status)) {
            assert!(seen.statuses.contains_key(&status.0), "{status} was never seen\n{seen}");
        }
        if process.maps_rings() || process.lends() {
            assert!(seen.statuses.contains_key(&Status::RING_EXISTS.0), "RingExists was never seen\n{seen}");
        }
        assert!(
            self.sender.bytes(self.canary, PAGE as usize).iter().all(|&byte| byte == CANARY),
            "the canary changed\n{seen}"
        );
        let plugins = [("echo", echo::INTERFACE), ("edu", edu::INTERFACE)];
        for (plugin, interface) in plugins.into_iter().take(if process.has_device() { 2 } else { 1 }) {
            let handle = process.handle(plugin);
            assert_eq!(
                self.sender.open(&*handle, interface).status,
                Status::OK,
                "a session of {plugin} afterwards\n{seen}"
            );
        }
    }
}
