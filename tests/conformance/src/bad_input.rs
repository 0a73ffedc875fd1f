//! The bad-input list: each with its named status, and nothing changed.
use crate::{
    flip::flip,
    interrupts::until,
    raw_ioctl::{Access, Answer, Handle, PAGE, Process, Sender, open},
};
use echo_interface::echo;
use edu_interface::edu;
use kp_abi::{
    Status, TransportStatus,
    limits::{ABI_MAJOR, ABI_MINOR, MAX_ARGS, MAX_DATA, MAX_OPEN_DATA, MAX_REQUEST},
    request::{
        self, ANY_VECTOR, Call, Close, IntCount, IntDisable, IntEnable, IntWait, NO_TIMEOUT, Open, Query, Request,
        RingEnter, RingSetup, RingTeardown, Schema, kind,
    },
    zerocopy::IntoBytes,
};
use std::mem::offset_of;

/// Runs the list, as far as the process can send it; echo is loaded, and edu if there is a device. Gives the number of cases seen.
///
/// # Panics
/// At the first case with another answer.
pub fn run(process: &dyn Process) -> usize {
    let list = List { sender: Sender::new(process), seen: std::cell::Cell::new(0) };
    list.sizes();
    list.older_app();
    list.unknown_requests();
    list.opening();
    list.calls();
    list.schema();
    list.nothing_changes();
    if process.sends_addresses() {
        list.addresses();
        list.flipped();
    }
    if process.has_device() {
        list.interrupts();
        list.order("edu");
        list.close_races_wait();
    }
    list.order("echo");
    list.seen.get() + crate::direct::run(process) + crate::rings::run(process) + crate::limits::run(process)
}

struct List<'p> {
    sender: Sender<'p>,
    seen: std::cell::Cell<usize>,
}

impl<'p> List<'p> {
    #[track_caller]
    fn is<R: Request>(&self, what: &str, answer: Answer<R>, want: Status) -> Answer<R> {
        assert_eq!(answer.status, want, "{}: {what} (detail {})", R::INFO.name, answer.detail);
        self.seen.set(self.seen.get() + 1);
        answer
    }

    fn fresh(&self, plugin: &str) -> Box<dyn Handle + 'p> {
        self.sender.process.handle(plugin)
    }

    fn session(&self, plugin: &str) -> Box<dyn Handle + 'p> {
        let handle = self.fresh(plugin);
        let interface = if plugin == "echo" { echo::INTERFACE } else { edu::INTERFACE };
        self.is("open", self.sender.open(&*handle, interface), Status::OK);
        handle
    }

    /// The size rule, for every request: too small, too large, zero and nonzero tails; unknown flags.
    fn sizes(&self) {
        self.sizes_of::<Query>(Query::new(), Status::OK);
        self.sizes_of::<Open>(Open { message_count: 99, ..open(echo::INTERFACE) }, Status::INTERFACE_MISMATCH);
        self.sizes_of::<Call>(Call { message: 99, ..Call::new() }, Status::UNKNOWN_MESSAGE);
        self.sizes_of::<IntEnable>(
            IntEnable { kinds: kind::ANY, min: 1, max: 1, ..IntEnable::new() },
            Status::NO_INTERRUPT,
        );
        self.sizes_of::<IntWait>(IntWait { vector: ANY_VECTOR, max: 1, ..IntWait::new() }, Status::NOT_ENABLED);
        self.sizes_of::<IntCount>(IntCount { vector: ANY_VECTOR, ..IntCount::new() }, Status::OK);
        self.sizes_of::<IntDisable>(IntDisable::new(), Status::NOT_ENABLED);
        if self.sender.process.sends_addresses() {
            self.sizes_of::<RingSetup>(RingSetup { entries: 3, ..RingSetup::new() }, Status::BAD_FIELD);
            self.sizes_of::<RingEnter>(RingEnter::new(), Status::NO_RING);
            self.sizes_of::<RingTeardown>(RingTeardown::new(), Status::NO_RING);
        }
        self.sizes_of::<Schema>(Schema { offset: u32::MAX, ..Schema::new() }, Status::BAD_FIELD);
        self.sizes_of::<Close>(Close::new(), Status::OK);
    }

    fn sizes_of<R: Request>(&self, good: R, want: Status) {
        let sized = |size: u32| {
            // CLOSE ends a session, and OPEN needs none: each size has its own.
            let handle = if R::NR == Open::NR { self.fresh("echo") } else { self.session("echo") };
            let mut request = good;
            request.head().size = size;
            self.sender.process.write(self.sender.place, &[0; 2 * PAGE as usize]);
            (handle, request)
        };
        let first = R::FIRST_SIZE as u32;
        let mut refused = vec![(0, Status::TOO_SMALL), (15, Status::TOO_SMALL), (first - 1, Status::TOO_SMALL)];
        // No buffer is as long as that; where requests are buffers, it is cut short.
        let cut = if self.sender.process.sends_addresses() { Status::TOO_LARGE } else { Status::TOO_SMALL };
        refused.extend([(MAX_REQUEST as u32 + 1, Status::TOO_LARGE), (u32::MAX, cut)]);
        for (size, want) in refused {
            let (handle, request) = sized(size);
            self.is(&format!("size {size}"), self.sender.send(&*handle, request), want);
        }
        let known = size_of::<R>() as u32;
        for size in [first, first + 1, first + 8, known, known + 8, MAX_REQUEST as u32] {
            let (handle, request) = sized(size);
            self.is(&format!("size {size}, zero tail"), self.sender.send(&*handle, request), want);
        }
        for size in [known + 1, known + 8, MAX_REQUEST as u32] {
            let (handle, request) = sized(size);
            self.sender.process.write(self.sender.place + u64::from(size) - 1, &[1]);
            self.is(
                &format!("size {size}, a tail that is not zero"),
                self.sender.send(&*handle, request),
                Status::UNKNOWN_TAIL,
            );
        }
        let (handle, mut request) = sized(first);
        request.head().flags = 1 << 31;
        self.is("an unknown flag", self.sender.send(&*handle, request), Status::UNKNOWN_FLAG);
    }

    /// QUERY has grown: an app that knows an older version, or a part of the next, gets what it knows, and not a byte more.
    fn older_app(&self) {
        const { assert!(size_of::<Query>() > Query::FIRST_SIZE) };
        let s = &self.sender;
        let handle = self.session("echo");
        let whole = self.is("of today", s.send(&*handle, Query::new()), Status::OK).request;
        assert!(whole.max_ring_entries != 0 && whole.max_ring_memory != 0, "the limits of rings");
        assert_eq!(whole.max_buffers == 0, s.process.maps_rings(), "what rings are made of, and no message names");
        let older = Query::INFO.versions.iter().flat_map(|&(size, _)| [size, size + 4]);
        for size in older.filter(|&size| size < size_of::<Query>()) {
            let mut query = Query { waits: 99, max_ring_entries: 99, max_ring_memory: 99, resets: 99, ..Query::new() };
            query.head().size = size as u32;
            let mut want = whole;
            want.head().size = size as u32;
            let answer = self.is(&format!("of {size} bytes"), s.send(&*handle, query), Status::OK).request;
            assert_eq!(answer.as_bytes()[..size], want.as_bytes()[..size], "what the app knows");
            assert_eq!(answer.as_bytes()[size..], query.as_bytes()[size..], "what it does not know stays as it was");
        }
    }

    fn unknown_requests(&self) {
        let handle = self.session("echo");
        for nr in [8, 16, 26, 31, 36, 40, 48, 57, 255] {
            assert_eq!(
                handle.send(nr, self.sender.place),
                Err(TransportStatus::UNKNOWN_REQUEST.status()),
                "request {nr}"
            );
            self.seen.set(self.seen.get() + 1);
        }
    }

    /// A struct that cannot be read, or not be written, for every request.
    fn addresses(&self) {
        self.addresses_of::<Query>();
        self.addresses_of::<Open>();
        self.addresses_of::<Call>();
        self.addresses_of::<IntEnable>();
        self.addresses_of::<IntWait>();
        self.addresses_of::<IntCount>();
        self.addresses_of::<IntDisable>();
        self.addresses_of::<RingSetup>();
        self.addresses_of::<RingEnter>();
        self.addresses_of::<RingTeardown>();
        self.addresses_of::<Schema>();
        self.addresses_of::<Close>();
    }

    fn addresses_of<R: Request>(&self) {
        let process = self.sender.process;
        let handle = self.session("echo");
        let page = process.map(PAGE as usize, Access::ReadWrite);
        let read_only = process.map(PAGE as usize, Access::ReadOnly);
        process.write(read_only, R::new().as_bytes());
        let bad = [
            ("null", 0),
            ("unmapped", page + PAGE),
            ("the kernel's", process.kernel_address()),
            ("not canonical", 1 << 63),
            ("the last there is", usize::MAX as u64 - 7),
            ("read-only", read_only),
        ];
        // A 32-bit process cannot name them all.
        for (what, address) in bad.into_iter().filter(|(_, address)| usize::try_from(*address).is_ok()) {
            self.is(what, self.sender.send_at::<R>(&*handle, address), TransportStatus::FAULT.status());
        }
        // The page ends within the struct, and its size says that it does: too small, and the header can say so.
        let size = R::FIRST_SIZE as u64;
        if size > 16 {
            let address = page + PAGE - 16;
            process.write(address, &16u32.to_le_bytes());
            assert_eq!(handle.send(R::NR, address), Ok(()), "{}: cut short by the page", R::INFO.name);
            let head: request::Head = self.sender.value(address);
            assert_eq!(head.status, Status::TOO_SMALL.0, "{}: cut short by the page", R::INFO.name);
            process.write(address, &(R::FIRST_SIZE as u32).to_le_bytes());
            assert_eq!(
                handle.send(R::NR, address),
                Err(TransportStatus::FAULT.status()),
                "{}: cut short, with the full size",
                R::INFO.name
            );
            // The tail is what cannot be read.
            let address = page + PAGE - size;
            let mut request = R::new();
            request.head().size = R::FIRST_SIZE as u32 + 8;
            process.write(address, &request.as_bytes()[..R::FIRST_SIZE]);
            assert_eq!(
                handle.send(R::NR, address),
                Err(TransportStatus::FAULT.status()),
                "{}: a tail that is not mapped",
                R::INFO.name
            );
        }
        self.is("the session still works", self.sender.send(&*handle, Query::new()), Status::OK);
    }

    fn opening(&self) {
        let s = &self.sender;
        let mine = || open(echo::INTERFACE);
        let refused =
            |what: &str, request: Open, want: Status| self.is(what, s.send(&*self.fresh("echo"), request), want);
        for abi_major in [0, ABI_MAJOR + 1, u32::MAX] {
            let answer = refused("another ABI", Open { abi_major, ..mine() }, Status::ABI_MISMATCH);
            assert_eq!(answer.detail, (ABI_MAJOR << 16) | ABI_MINOR, "the driver says which ABI it has");
            assert_eq!(answer.request.abi_major, ABI_MAJOR, "the driver says which ABI it has");
        }
        let newer = refused("a newer minor ABI", Open { abi_minor: 7, ..mine() }, Status::OK);
        assert_eq!(newer.request.abi_minor, ABI_MINOR, "the smaller minor is spoken");
        refused("another fingerprint", Open { fingerprint: 1, ..mine() }, Status::INTERFACE_MISMATCH);
        let count = echo::INTERFACE.methods.len();
        let answer = refused("more messages", Open { message_count: 50, ..mine() }, Status::INTERFACE_MISMATCH);
        assert_eq!(answer.request.message_count, count as u32, "the driver says how many it knows");
        assert_eq!(answer.request.fingerprint, echo::INTERFACE.fingerprint(), "and its chain there");
        let older = Open { message_count: 2, fingerprint: echo::INTERFACE.chain(2), ..mine() };
        refused("an older app", older, Status::OK);
        refused(
            "an older app's count with another chain",
            Open { message_count: 2, ..mine() },
            Status::INTERFACE_MISMATCH,
        );
        refused("a reserved field", Open { reserved: 1, ..mine() }, Status::BAD_FIELD);
        let room = s.process.map(MAX_OPEN_DATA + 1, Access::ReadWrite);
        refused("as much data as fits", Open { data_addr: room, data_len: MAX_OPEN_DATA as u32, ..mine() }, Status::OK);
        let above = Open { data_addr: room, data_len: MAX_OPEN_DATA as u32 + 1, ..mine() };
        refused("data above the limit", above, Status::PAYLOAD_TOO_LARGE);
        refused(
            "data that is not there",
            Open { data_addr: 8, data_len: 8, ..mine() },
            TransportStatus::FAULT.status(),
        );
        refused(
            "data of the kernel's",
            Open { data_addr: s.process.kernel_address(), data_len: 8, ..mine() },
            TransportStatus::FAULT.status(),
        );
        refused(
            "data that wraps",
            Open { data_addr: u64::MAX, data_len: 8, ..mine() },
            TransportStatus::FAULT.status(),
        );
        let handle = self.session("echo");
        self.is("a second time", s.open(&*handle, echo::INTERFACE), Status::ALREADY_OPEN);
        let reader = s.process.read_only_handle("echo");
        self.is("for reading only", s.open(&*reader, echo::INTERFACE), TransportStatus::DENIED.status());
        self.is("for reading only", s.send(&*reader, Query::new()), Status::OK);
    }

    fn calls(&self) {
        let s = &self.sender;
        let handle = self.session("echo");
        let good = || s.prepare(1, &[], b"hello", 4);
        let answer = self.is("say", s.send(&*handle, good()), Status::OK);
        assert_eq!((answer.detail, s.value::<u32>(answer.request.out_addr)), (4, 5));
        let refused = |what: &str, request: Call, want: Status| self.is(what, s.send(&*handle, request), want);
        for message in [0, 6, 255, u32::MAX] {
            refused("an unknown message", Call { message, ..good() }, Status::UNKNOWN_MESSAGE);
        }
        let nap = |args: &[u8]| s.prepare(5, args, b"", 0);
        refused("arguments too short", nap(&[0; 3]), Status::INPUT_LENGTH);
        refused("arguments too long", nap(&[0; 5]), Status::INPUT_LENGTH);
        refused("data where there is none", s.prepare(5, &[0; 4], b"x", 0), Status::INPUT_LENGTH);
        let short = refused("no room for the reply", Call { out_len: 3, ..good() }, Status::OUTPUT_LENGTH);
        assert_eq!(short.detail, 4, "the room needed");
        refused("a value that is none", s.prepare(3, &[3, 0, 0, 0, 0, 0, 0, 0], b"x", 8), Status::BAD_VALUE);
        refused("a flag that is none", s.prepare(3, &[0, 0, 0, 0, 0, 1, 0, 0], b"x", 8), Status::BAD_VALUE);
        for len in [MAX_ARGS as u32 + 1, 1 << 31, u32::MAX] {
            refused("arguments above the limit", Call { args_len: len, ..good() }, Status::PAYLOAD_TOO_LARGE);
        }
        for len in [MAX_DATA as u32 + 1, 1 << 31, u32::MAX] {
            refused("data above the limit", Call { in_len: len, ..good() }, Status::PAYLOAD_TOO_LARGE);
            refused("room above the limit", Call { out_len: len, ..good() }, Status::PAYLOAD_TOO_LARGE);
        }
        let kernel = s.process.kernel_address();
        for bad in [0, 8, kernel, 1 << 63, u64::MAX - 3, u64::MAX] {
            refused("data that is not there", Call { in_addr: bad, ..good() }, TransportStatus::FAULT.status());
            refused(
                "arguments that are not there",
                Call { args_addr: bad, ..nap(&[0; 4]) },
                TransportStatus::FAULT.status(),
            );
        }
        let mapped = s.process.map(PAGE as usize, Access::ReadWrite);
        let cut = mapped + PAGE - 2;
        refused("data that ends in an unmapped page", Call { in_addr: cut, ..good() }, TransportStatus::FAULT.status());
        // A reply that cannot be written is found after the handler ran, as with read(2).
        let read_only = s.process.map(PAGE as usize, Access::ReadOnly);
        for bad in [8, mapped + PAGE, read_only, cut] {
            refused(
                "a reply that cannot be written",
                Call { out_addr: bad, ..good() },
                TransportStatus::FAULT.status(),
            );
        }
        refused("a reply to the kernel", Call { out_addr: kernel, ..good() }, TransportStatus::FAULT.status());
        if s.process.sends_addresses() {
            // Whatever its length, the head does not say meanwhile that all is well.
            for len in [4, 256, 257, 4097] {
                let long = s.prepare(3, &[0; 8], &vec![b'x'; len], len);
                refused(
                    "a reply that cannot be written",
                    Call { out_addr: read_only, ..long },
                    TransportStatus::FAULT.status(),
                );
                let head: request::Head = s.value(s.place);
                assert_eq!((Status(head.status), head.detail), (Status::NO_REPLY, 0), "a reply of {len} bytes");
            }
        }
    }

    /// The schema: whole, in parts, and into what is no room.
    fn schema(&self) {
        let s = &self.sender;
        let handle = self.fresh("echo");
        let total = echo::SCHEMA.len() as u32;
        let room = s.process.map(MAX_DATA + PAGE as usize, Access::ReadWrite);
        let good = Schema { len: MAX_DATA as u32, addr: room, ..Schema::new() };
        let told = |what: &str, request: Schema, part: &[u8]| {
            s.process.write(room, &vec![0xEE; echo::SCHEMA.len() + 1]);
            let answer = self.is(what, s.send(&*handle, request), Status::OK).request;
            assert_eq!((answer.total, answer.written as usize), (total, part.len()), "{what}");
            assert_eq!(answer.fingerprint, echo::INTERFACE.fingerprint(), "{what}");
            assert_eq!(s.bytes(room, part.len() + 1), [part, &[0xEE]].concat(), "{what}: and nothing behind");
        };
        told("all of it", good, echo::SCHEMA);
        told("its end", Schema { offset: total - 1, ..good }, &echo::SCHEMA[total as usize - 1..]);
        told("five bytes of it", Schema { offset: 3, len: 5, ..good }, &echo::SCHEMA[3..8]);
        told("what is behind its end", Schema { offset: total, ..good }, &[]);
        told("its length alone", Schema { len: 0, addr: s.process.kernel_address(), ..good }, &[]);
        let refused = |what: &str, request: Schema, want: Status| self.is(what, s.send(&*handle, request), want);
        for offset in [total + 1, 1 << 31, u32::MAX] {
            refused("beyond its end", Schema { offset, ..good }, Status::BAD_FIELD);
        }
        for len in [MAX_DATA as u32 + 1, 1 << 31, u32::MAX] {
            refused("room above the limit", Schema { len, ..good }, Status::PAYLOAD_TOO_LARGE);
        }
        let read_only = s.process.map(PAGE as usize, Access::ReadOnly);
        for addr in [8, read_only, s.process.kernel_address(), 1 << 63, u64::MAX - 3] {
            let request = Schema { len: PAGE as u32, addr, ..good };
            refused("room that cannot be written", request, TransportStatus::FAULT.status());
        }
        let reader = s.process.read_only_handle("echo");
        self.is("for reading only", s.send(&*reader, good), Status::OK);
    }

    /// After every refusal above, what a session knows is what its good calls said.
    fn nothing_changes(&self) {
        let s = &self.sender;
        let handle = self.session("echo");
        let said = |want: [u64; 2]| {
            let answer = self.is("said", s.call(&*handle, 4, &[], &[], 16), Status::OK);
            assert_eq!(s.value::<[u64; 2]>(answer.request.out_addr), want);
        };
        self.is("say", s.call(&*handle, 1, &[], b"hello", 4), Status::OK);
        said([1, 5]);
        self.is("say into no room", s.call(&*handle, 1, &[], b"other", 3), Status::OUTPUT_LENGTH);
        self.is("say with arguments", s.call(&*handle, 1, &[1], b"other", 4), Status::INPUT_LENGTH);
        let call = s.prepare(1, &[], b"other", 4);
        self.is("say from nowhere", s.send(&*handle, Call { in_addr: 8, ..call }), TransportStatus::FAULT.status());
        said([1, 5]);
        let answer = self.is("hear", s.call(&*handle, 2, &[], &[], 16), Status::OK);
        let mut want = [0; 16];
        want[..5].copy_from_slice(b"hello");
        assert_eq!(s.bytes(answer.request.out_addr, 16), want, "only what was written leaves the kernel");
    }

    fn interrupts(&self) {
        let s = &self.sender;
        let handle = self.session("edu");
        let enable = |kinds: u32, min: u32, max: u32| IntEnable { kinds, min, max, ..IntEnable::new() };
        let good = enable(kind::LINE, 1, 1);
        let refused = |what: &str, request: IntEnable, want: Status| {
            self.is(what, s.send(&*handle, request), want);
        };
        for kinds in [0, 8, u32::MAX] {
            refused("no such kind", enable(kinds, 1, 1), Status::BAD_FIELD);
        }
        refused("no vector", enable(kind::LINE, 0, 0), Status::BAD_FIELD);
        refused("more at least than at most", enable(kind::LINE, 2, 1), Status::BAD_FIELD);
        refused("more than there can be", enable(kind::MSIX, 1, 2049), Status::BAD_FIELD);
        refused("more than there are", enable(kind::LINE, 2, 2), Status::NO_INTERRUPT);
        refused("MSI-X of a device without", enable(kind::MSIX, 1, 1), Status::NO_INTERRUPT);
        refused("data above the limit", IntEnable { data_len: 4097, ..good }, Status::PAYLOAD_TOO_LARGE);
        refused(
            "data that is not there",
            IntEnable { data_len: 8, data_addr: 8, ..good },
            TransportStatus::FAULT.status(),
        );
        let wait = |vector: u32, max: u32| IntWait { vector, max, ..IntWait::new() };
        self.is("before enabling", s.send(&*handle, wait(ANY_VECTOR, 1)), Status::NOT_ENABLED);
        self.is("before enabling", s.send(&*handle, IntDisable::new()), Status::NOT_ENABLED);
        refused("enable", good, Status::OK);
        refused("enable twice", good, Status::ALREADY_ENABLED);
        let other = self.session("edu");
        self.is("by another", s.send(&*other, good), Status::INTERRUPT_OWNED);
        self.is("by another", s.send(&*other, wait(ANY_VECTOR, 1)), Status::INTERRUPT_OWNED);
        self.is("by another", s.send(&*other, IntDisable::new()), Status::INTERRUPT_OWNED);
        self.is("take none", s.send(&*handle, wait(ANY_VECTOR, 0)), Status::BAD_FIELD);
        self.is("vector 1", s.send(&*handle, wait(1, 1)), Status::BAD_VECTOR);
        self.is("nothing there", s.send(&*handle, wait(ANY_VECTOR, 1)), Status::TIMEOUT);
        let count = |vector: u32, reserved: u32| IntCount { vector, reserved, ..IntCount::new() };
        self.is("vector 1", s.send(&*handle, count(1, 0)), Status::BAD_VECTOR);
        self.is("a reserved field", s.send(&*handle, count(0, 1)), Status::BAD_FIELD);
        let answer = self.is("count", s.send(&*handle, count(ANY_VECTOR, 0)), Status::OK);
        assert_eq!(answer.request.counters, kp_abi::Counters::default(), "nothing has happened");
        self.is("disable", s.send(&*handle, IntDisable::new()), Status::OK);
        self.is("disable twice", s.send(&*handle, IntDisable::new()), Status::NOT_ENABLED);
        if s.process.sends_addresses() {
            self.wait_that_cannot_answer(&*handle);
        }
    }

    /// A wait whose answer cannot be written gives nothing away: neither one that is refused at once, nor one that finds out when a
    /// notification has come.
    fn wait_that_cannot_answer(&self, handle: &dyn Handle) {
        let s = &self.sender;
        self.is("defer all", s.call(handle, 6, &1u32.to_le_bytes(), &[], 0), Status::OK);
        self.is(
            "enable",
            s.send(handle, IntEnable { kinds: kind::LINE, min: 1, max: 1, ..IntEnable::new() }),
            Status::OK,
        );
        self.is("raise", s.call(handle, 5, &1u32.to_le_bytes(), &[], 0), Status::OK);
        let counters = || s.send(handle, IntCount { vector: ANY_VECTOR, ..IntCount::new() }).request.counters;
        until("a notification", || counters().available == 1);
        let wait = IntWait { vector: ANY_VECTOR, max: 1, ..IntWait::new() };
        let read_only = s.process.map(PAGE as usize, Access::ReadOnly);
        s.process.write(read_only, wait.as_bytes());
        self.is(
            "an answer that cannot be written",
            s.send_at::<IntWait>(handle, read_only),
            TransportStatus::FAULT.status(),
        );
        assert_eq!((counters().available, counters().delivered), (1, 0), "the notification is still there");
        self.is("take it", s.send(handle, wait), Status::OK);

        let waiting = s.process.map(PAGE as usize, Access::ReadWrite);
        s.process.write(waiting, IntWait { timeout_ns: NO_TIMEOUT, ..wait }.as_bytes());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| handle.send(IntWait::NR, waiting));
            until("the wait is pending", || s.send(handle, Query::new()).request.waits == 1);
            s.process.make_read_only(waiting, PAGE as usize);
            self.is("raise", s.call(handle, 5, &1u32.to_le_bytes(), &[], 0), Status::OK);
            let answer = waiter.join().expect("the waiter does not panic");
            assert_eq!(answer, Err(TransportStatus::FAULT.status()), "an answer that can no longer be written");
        });
        assert_eq!((counters().available, counters().delivered), (1, 1), "the notification was put back");
        assert_eq!(self.is("take it", s.send(handle, wait), Status::OK).request.got, 1);
        self.is("disable", s.send(handle, IntDisable::new()), Status::OK);
    }

    /// Requests out of order.
    fn order(&self, plugin: &str) {
        let s = &self.sender;
        let interface = if plugin == "echo" { echo::INTERFACE } else { edu::INTERFACE };
        let fresh = self.fresh(plugin);
        let wait = IntWait { vector: ANY_VECTOR, max: 1, ..IntWait::new() };
        let count = IntCount { vector: ANY_VECTOR, ..IntCount::new() };
        let enable = IntEnable { kinds: kind::ANY, min: 1, max: 1, ..IntEnable::new() };
        let all = |handle: &dyn Handle, want: Status| {
            self.is("", s.call(handle, 1, &[], &[], 24), want);
            self.is("", s.send(handle, enable), want);
            self.is("", s.send(handle, wait), want);
            self.is("", s.send(handle, count), want);
            self.is("", s.send(handle, IntDisable::new()), want);
        };
        all(&*fresh, Status::NOT_OPEN);
        self.is("of a fresh handle", s.send(&*fresh, Close::new()), Status::OK);
        all(&*fresh, Status::CLOSED);
        self.is("after close", s.open(&*fresh, interface), Status::CLOSED);
        let session = self.session(plugin);
        self.is("of a session", s.send(&*session, Close::new()), Status::OK);
        self.is("of a closed session", s.send(&*session, Close::new()), Status::CLOSED);
        all(&*session, Status::CLOSED);
        self.is("of a closed session", s.send(&*session, Query::new()), Status::OK);
    }

    /// A second thread flips the size, the message number and the length while calls are made: each call has one of the answers of a
    /// call that was sent whole, and each of these answers is seen.
    fn flipped(&self) {
        const SIZE: u32 = size_of::<Call>() as u32;
        /// Size, message and length of the data: good, and bad for one reason each.
        const STATES: [[u32; 3]; 8] = [
            [SIZE, 1, 5],
            [SIZE, 99, 5],
            [SIZE, 1, 1 << 31],
            [SIZE, 5, 0],
            [SIZE + 8, 1, 5],
            [SIZE - 8, 1, 5],
            [MAX_REQUEST as u32, 1, 5],
            [u32::MAX, 1, 5],
        ];
        let s = &self.sender;
        let handle = self.session("echo");
        let call = s.prepare(1, &[], b"hello", 4);
        s.process.write(s.place, &[0; 2 * PAGE as usize]);
        s.process.write(s.place, call.as_bytes());
        // Behind every size but the largest there are zeros.
        s.process.write(s.place + MAX_REQUEST as u64 - 1, &[1]);
        let places = [offset_of!(Call, head), offset_of!(Call, message), offset_of!(Call, in_len)];
        let places = places.map(|at| s.place + at as u64);
        let answers = [
            Status::OK,
            Status::TOO_SMALL,
            Status::TOO_LARGE,
            Status::UNKNOWN_TAIL,
            Status::UNKNOWN_MESSAGE,
            Status::PAYLOAD_TOO_LARGE,
            Status::INPUT_LENGTH,
        ];
        let write = |state: usize| {
            for (place, value) in places.into_iter().zip(STATES[state]) {
                s.process.write(place, &value.to_le_bytes());
            }
        };
        flip(STATES.len(), write, &answers, || {
            assert_eq!(handle.send(Call::NR, s.place), Ok(()));
            Status(s.value::<request::Head>(s.place).status)
        });
        self.is("say", s.call(&*handle, 1, &[], b"hello", 4), Status::OK);
        self.seen.set(self.seen.get() + 1);
    }

    /// CLOSE from one thread while another waits: the wait ends with Closed.
    fn close_races_wait(&self) {
        let s = &self.sender;
        for _ in 0..20 {
            let handle = self.session("edu");
            self.is(
                "enable",
                s.send(&*handle, IntEnable { kinds: kind::LINE, min: 1, max: 1, ..IntEnable::new() }),
                Status::OK,
            );
            let waiting = s.process.map(PAGE as usize, Access::ReadWrite);
            let wait = IntWait { vector: ANY_VECTOR, max: 1, timeout_ns: NO_TIMEOUT, ..IntWait::new() };
            s.process.write(waiting, wait.as_bytes());
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| handle.send(IntWait::NR, waiting));
                until("a wait is pending", || s.send(&*handle, Query::new()).request.waits == 1);
                self.is("during a wait", s.send(&*handle, Close::new()), Status::OK);
                assert_eq!(waiter.join().expect("the waiter does not panic"), Ok(()));
            });
            let head: request::Head = s.value(waiting);
            assert_eq!(head.status, Status::CLOSED.0, "the wait that CLOSE ended");
        }
    }
}
