//! Rings, from the outside: what is refused, what runs, what can be mapped, and noise in shared memory. Where nothing is mapped, on Windows, a ring is
//! made of a buffer.
use crate::raw_ioctl::{Handle, PAGE, Process, Random, Sender, open};
use echo_interface::echo;
use kp_abi::{
    Status, TransportStatus,
    request::{BufferRelease, Close, Open, Query, Request, RingEnter, RingSetup, RingTeardown, feature},
    ring::{INLINE, KernelPage, Layout, Submission, UserPage},
    zerocopy::IntoBytes,
};
use kp_user::SharedMemory;
use std::{mem::offset_of, sync::atomic::Ordering::SeqCst};

/// Runs the list; echo is loaded. Gives the number of cases seen.
///
/// # Panics
/// At the first case with another answer.
pub fn run(process: &dyn Process) -> usize {
    let sender = Sender::new(process);
    let features = sender.send(&*process.handle("echo"), Query::new()).request.features;
    assert_ne!(features & feature::RING, 0, "every driver has rings");
    let mut list = List { sender, seen: 0 };
    list.refused();
    list.older();
    if !process.maps_rings() && !process.lends() {
        let refused = list.session().lend(BUFFER, PAGE as usize);
        assert_eq!(refused.map(|_| ()), Err(TransportStatus::FAULT.status()), "memory that no driver sees");
        return list.seen + 1;
    }
    list.setting_up();
    if process.maps_rings() {
        list.mapping();
    } else {
        list.lending();
    }
    list.entering();
    list.orders();
    list.noise(20_000);
    list.seen
}

struct List<'p> {
    sender: Sender<'p>,
    seen: usize,
}

/// A session with a ring.
struct Ring<'p> {
    handle: Box<dyn Handle + 'p>,
    setup: RingSetup,
    memory: SharedMemory,
    /// None: the memory is a buffer.
    page: Option<SharedMemory>,
    tail: u32,
}

/// The number of the buffer that a ring is made of.
const BUFFER: u32 = 1;

impl Ring<'_> {
    fn push(&mut self, submission: &Submission) {
        let at = self.setup.sq_at as usize + (self.tail % self.setup.entries) as usize * size_of::<Submission>();
        self.memory.write(at, submission.as_bytes());
        self.tail = self.tail.wrapping_add(1);
        self.set_tail(self.tail);
    }

    fn set_tail(&self, tail: u32) {
        self.memory.word(offset_of!(UserPage, sq_tail)).store(tail, SeqCst);
    }

    fn set_head(&self, head: u32) {
        self.memory.word(offset_of!(UserPage, cq_head)).store(head, SeqCst);
    }

    fn completed(&self) -> u32 {
        let word = match &self.page {
            Some(page) => page.word(offset_of!(KernelPage, cq_tail)),
            None => self.memory.word(offset_of!(UserPage, cq_tail)),
        };
        word.load(SeqCst)
    }

    fn status(&self, index: u32) -> Status {
        let at = self.setup.cq_at as usize + (index % self.setup.entries) as usize * 32 + 8;
        Status(self.memory.words(at, 1)[0].load(SeqCst) as u32)
    }
}

/// "say" with `len` bytes from the start of the data area, and its reply behind them.
fn say(len: u32) -> Submission {
    Submission {
        user_data: 7,
        message: 1,
        flags: 0,
        args_len: 0,
        in_word: 0,
        in_len: len,
        out_word: 64,
        out_len: 4,
        inline: [0; 4],
    }
}

impl<'p> List<'p> {
    #[track_caller]
    fn is<R: Request>(&mut self, what: &str, handle: &dyn Handle, request: R, want: Status) -> R {
        let answer = self.sender.send(handle, request);
        assert_eq!(answer.status, want, "{}: {what}", R::INFO.name);
        self.seen += 1;
        answer.request
    }

    fn session(&mut self) -> Box<dyn Handle + 'p> {
        let handle = self.sender.process.handle("echo");
        self.is("open", &*handle, open(echo::INTERFACE), Status::OK);
        handle
    }

    fn ring(&mut self, entries: u32, data_len: u32) -> Ring<'p> {
        let handle = self.session();
        let wanted = RingSetup { entries, data_len, ..RingSetup::new() };
        let (setup, memory, page) = if self.sender.process.maps_rings() {
            let setup = self.is("a ring", &*handle, wanted, Status::OK);
            let memory = handle.map(setup.memory_offset, setup.memory_len as usize, true).expect("it can be mapped");
            let page = handle.map(setup.page_offset, setup.page_len as usize, false).expect("it can be mapped");
            (setup, memory, Some(page))
        } else {
            let len = Layout::new(entries, data_len).expect("such a ring may be").len;
            let memory = handle.lend(BUFFER, len).expect("a buffer");
            (self.is("a ring", &*handle, RingSetup { buffer: BUFFER, ..wanted }, Status::OK), memory, None)
        };
        Ring { handle, setup, memory, page, tail: 0 }
    }

    #[track_caller]
    fn enter(&mut self, ring: &Ring<'_>, to_submit: u32, want: (u32, Status)) {
        let entered = self.is("", &*ring.handle, RingEnter { to_submit, ..RingEnter::new() }, want.1);
        assert_eq!(entered.submitted, want.0, "submissions taken, and then {}", want.1);
    }

    fn refused(&mut self) {
        let fresh = self.sender.process.handle("echo");
        let good = RingSetup { entries: 8, data_len: 100, ..RingSetup::new() };
        self.is("before OPEN", &*fresh, good, Status::NOT_OPEN);
        self.is("before OPEN", &*fresh, RingEnter::new(), Status::NOT_OPEN);
        self.is("before OPEN", &*fresh, RingTeardown::new(), Status::NOT_OPEN);
        let without = self.sender.process.handle("echo");
        self.is("no features", &*without, Open { features: 0, ..open(echo::INTERFACE) }, Status::OK);
        self.is("not granted", &*without, good, TransportStatus::UNKNOWN_REQUEST.status());
        self.is("not granted", &*without, RingEnter::new(), TransportStatus::UNKNOWN_REQUEST.status());
        self.is("not granted", &*without, RingTeardown::new(), TransportStatus::UNKNOWN_REQUEST.status());
    }

    /// Apps of an older ABI have rings as that knew them, in memory of the driver's, or have none; their struct is the first one.
    fn older(&mut self) {
        let maps = self.sender.process.maps_rings();
        for (abi_minor, knows) in [(0, false), (1, maps), (2, maps), (3, true), (9, true)] {
            let handle = self.sender.process.handle("echo");
            let opened = self.is("older", &*handle, Open { abi_minor, ..open(echo::INTERFACE) }, Status::OK);
            assert_eq!(opened.features & feature::RING != 0, knows, "ABI 1.{abi_minor}");
            let mut first = RingSetup { entries: 8, ..RingSetup::new() };
            first.head().size = RingSetup::FIRST_SIZE as u32;
            let want = match (knows, maps) {
                (false, _) => TransportStatus::UNKNOWN_REQUEST.status(),
                (true, true) => Status::OK,
                (true, false) => Status::BAD_FIELD,
            };
            self.is("of the first version", &*handle, first, want);
        }
    }

    fn setting_up(&mut self) {
        let good = RingSetup { entries: 8, data_len: 100, ..RingSetup::new() };
        let handle = self.session();
        let (good, largest) = if self.sender.process.maps_rings() {
            (good, RingSetup { entries: 4096, data_len: 3 << 20, ..good })
        } else {
            self.is("of no buffer", &*handle, good, Status::BAD_FIELD);
            handle.lend(BUFFER, 4 << 20).expect("a buffer");
            let good = RingSetup { buffer: BUFFER, ..good };
            (good, RingSetup { entries: 4096, data_len: 3 << 20, ..good })
        };
        for (entries, data_len) in [(0, 0), (3, 0), (8192, 0), (u32::MAX, 0), (1, u32::MAX), (4096, 4 << 20)] {
            self.is("above the limits", &*handle, RingSetup { entries, data_len, ..good }, Status::BAD_FIELD);
        }
        self.is("reserved", &*handle, RingSetup { reserved: 1, ..good }, Status::BAD_FIELD);
        self.is("reserved", &*handle, RingSetup { reserved_2: 1, ..good }, Status::BAD_FIELD);
        for buffer in [2, 63, 64, u32::MAX] {
            self.is("a buffer that is not there", &*handle, RingSetup { buffer, ..good }, Status::NO_BUFFER);
        }
        self.is("no ring", &*handle, RingEnter { to_submit: 1, ..RingEnter::new() }, Status::NO_RING);
        self.is("no ring", &*handle, RingTeardown::new(), Status::NO_RING);
        self.is("the largest", &*handle, largest, Status::OK);
        self.is("a second", &*handle, good, Status::RING_EXISTS);
        self.is("down", &*handle, RingTeardown::new(), Status::OK);
        self.is("anew", &*handle, good, Status::OK);
        self.is("close", &*handle, Close::new(), Status::OK);
        self.is("closed", &*handle, good, Status::CLOSED);
        self.is("closed", &*handle, RingEnter::new(), Status::CLOSED);
        self.is("closed", &*handle, RingTeardown::new(), Status::CLOSED);
    }

    fn mapping(&mut self) {
        let ring = self.ring(8, 5000);
        assert_eq!(ring.setup.memory_len % PAGE, 0);
        let (memory, page) = (ring.setup.memory_offset, ring.setup.page_offset);
        let len = ring.setup.memory_len as usize;
        for (what, offset, len, write) in [
            ("a part", memory, len - PAGE as usize, false),
            ("more", memory, len + PAGE as usize, false),
            ("another place", memory + (1 << 30), len, false),
            ("two kernel pages", page, 2 * PAGE as usize, false),
            ("the kernel page, to write", page, PAGE as usize, true),
        ] {
            assert!(ring.handle.map(offset, len, write).is_err(), "{what} was mapped");
            self.seen += 1;
        }
        let kernel_page = ring.page.as_ref().expect("a kernel page");
        assert!(!ring.handle.can_be_made_writable(kernel_page), "the kernel page was made writable");
        assert!(ring.handle.map(memory, len, true).is_ok(), "once more");
        self.is("down", &*ring.handle, RingTeardown::new(), Status::OK);
        assert!(ring.handle.map(memory, len, true).is_err(), "it is down");
        ring.memory.write(ring.setup.data_at as usize, &[1; 100]); // still mapped
    }

    /// What becomes of a buffer that a ring is made of, or not.
    fn lending(&mut self) {
        let handle = self.session();
        let of = |buffer| RingSetup { entries: 8, data_len: 4096, buffer, ..RingSetup::new() };
        handle.lend(2, 2 * PAGE as usize).expect("a buffer");
        self.is("a page is missing", &*handle, of(2), Status::BAD_FIELD);
        let mut ring = self.ring(8, 4096);
        let release = |buffer| BufferRelease { buffer, ..BufferRelease::new() };
        self.is("released", &*ring.handle, release(BUFFER), Status::OK);
        ring.push(&say(5));
        self.enter(&ring, 1, (1, Status::OK));
        assert_eq!(ring.completed(), 1, "the ring has its memory still");
        self.is("released before", &*ring.handle, release(BUFFER), Status::NO_BUFFER);
        let _other = ring.handle.lend(BUFFER, PAGE as usize).expect("the number is free");
        self.is("down", &*ring.handle, RingTeardown::new(), Status::OK);
        self.is("another buffer has that number now", &*ring.handle, of(BUFFER), Status::BAD_FIELD);
    }

    fn entering(&mut self) {
        let mut ring = self.ring(4, 4096);
        for tail in [5, 0x8000_0000, u32::MAX] {
            ring.set_tail(tail);
            self.enter(&ring, 4, (0, Status::RING_CORRUPT));
        }
        ring.set_tail(0);
        ring.set_head(1);
        self.enter(&ring, 4, (0, Status::RING_CORRUPT));
        ring.set_head(0);
        let words = 4096 / 8;
        for (submission, want) in [
            (say(5), Status::OK),
            (Submission { in_word: words, ..say(1) }, Status::BAD_FIELD),
            (Submission { in_word: u32::MAX, ..say(1) }, Status::BAD_FIELD),
            (Submission { out_word: words, ..say(1) }, Status::BAD_FIELD),
            (say(4097), Status::BAD_FIELD),
            (say(65_537), Status::PAYLOAD_TOO_LARGE),
            (Submission { args_len: 257, ..say(1) }, Status::PAYLOAD_TOO_LARGE),
            (Submission { flags: 4, ..say(1) }, Status::UNKNOWN_FLAG),
            (Submission { flags: INLINE, ..say(33) }, Status::INPUT_LENGTH),
            (Submission { message: 99, ..say(1) }, Status::UNKNOWN_MESSAGE),
            (Submission { out_len: 3, ..say(1) }, Status::OUTPUT_LENGTH),
            (Submission { args_len: 1, ..say(0) }, Status::INPUT_LENGTH),
        ] {
            ring.push(&submission);
            self.enter(&ring, 1, (1, Status::OK));
            assert_eq!(ring.status(ring.tail - 1), want, "{submission:?}");
            ring.set_head(ring.tail);
            self.seen += 1;
        }
        let before = ring.tail;
        (0..4).for_each(|_| ring.push(&say(3)));
        self.enter(&ring, 9, (4, Status::OK));
        ring.push(&say(3));
        self.enter(&ring, 1, (0, Status::BUSY));
        ring.set_head(before + 1);
        self.enter(&ring, 1, (1, Status::OK));
        assert_eq!(ring.completed(), ring.tail);
    }

    /// Unmapping, closing and dropping in every order; the module's line at unload, or the simulator, says if anything is left.
    fn orders(&mut self) {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for closes in [false, true] {
                let ring = self.ring(8, 4096);
                let Ring { handle, memory, page, .. } = ring;
                if closes {
                    self.is("close", &*handle, Close::new(), Status::OK);
                }
                let mut parts: [Option<Box<dyn FnOnce() + '_>>; 3] =
                    [Some(Box::new(|| drop(handle))), Some(Box::new(|| drop(memory))), Some(Box::new(|| drop(page)))];
                for at in order {
                    parts[at].take().expect("each once")();
                }
            }
        }
    }

    /// Everything that the app can write is noise.
    fn noise(&mut self, enters: u32) {
        let mut ring = self.ring(8, 4096);
        let mut random = Random(9);
        for _ in 0..enters {
            let words = ring.setup.data_at as usize / 8;
            for _ in 0..6 {
                let at = 512 + random.below(words as u64 - 512) as usize;
                let noise = random.next() >> (random.below(8) * 8);
                // Message 5 is a nap.
                if at % 8 != 1 || noise as u32 != 5 {
                    ring.memory.words(at * 8, 1)[0].store(noise, SeqCst);
                }
            }
            ring.push(&say(random.below(9000) as u32));
            if random.below(8) == 0 {
                ring.set_tail(random.next() as u32);
            }
            if random.below(8) == 0 {
                ring.set_head(random.next() as u32);
            }
            let answer = self.sender.send(&*ring.handle, RingEnter { to_submit: 8, ..RingEnter::new() });
            assert!([Status::OK, Status::BUSY, Status::RING_CORRUPT].contains(&answer.status), "{}", answer.status);
            assert!(answer.request.submitted <= 8);
            ring.tail = ring.completed();
            ring.set_head(ring.tail);
            ring.set_tail(ring.tail);
        }
        ring.push(&say(5));
        self.enter(&ring, 1, (1, Status::OK));
        assert_eq!(ring.status(ring.tail - 1), Status::OK, "an honest message afterwards");
    }
}
