//! Batched calls: the same messages, the same answers, one request; and what a hostile app can do, which is nothing.
mod part;

use kp_abi::{
    Error, Status,
    request::{Request, RingEnter, RingSetup, RingTeardown, feature},
    ring::{INLINE, KernelPage, NOWAIT, PAGE, Submission, UserPage},
};
use kp_sim::{App, Mode, Process, Sim, edu::Edu, explore};
use kp_user::{Connection, Plugin, Ring, SharedMemory};
use part::{Part, part as messages};
use std::{
    mem::offset_of,
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

fn sim() -> Sim<Part> {
    Sim::with(Edu::new()).expect("the plugin takes its device")
}

/// A submission without anything.
fn submission() -> Submission {
    Submission {
        user_data: 0,
        message: 0,
        flags: 0,
        args_len: 0,
        in_word: 0,
        in_len: 0,
        out_word: 0,
        out_len: 0,
        inline: [0; 4],
    }
}

/// `n!`, inline, with its reply at word `n`.
fn factorial(n: u32) -> Submission {
    Submission {
        user_data: n.into(),
        message: 5,
        flags: INLINE,
        args_len: 4,
        out_word: n,
        out_len: 4,
        inline: [n.into(), 0, 0, 0],
        ..submission()
    }
}

/// A session of a process of its own, and a ring that is written to by hand.
struct Raw {
    app: Arc<App<Part>>,
    plugin: Plugin,
    setup: RingSetup,
    memory: SharedMemory,
    page: SharedMemory,
    tail: u32,
}

impl Raw {
    fn new(sim: &Sim<Part>, entries: u32, data_len: u32) -> Self {
        let app = Arc::new(sim.open());
        let plugin = Plugin::over(app.clone(), messages::INTERFACE, &[]).unwrap();
        let mut setup = RingSetup { entries, data_len, ..Request::new() };
        app.ring_setup(&mut setup).unwrap();
        let memory = app.map(setup.memory_offset, setup.memory_len as usize, true).unwrap();
        let page = app.map(setup.page_offset, setup.page_len as usize, false).unwrap();
        Self { app, plugin, setup, memory, page, tail: 0 }
    }

    fn set_tail(&self, tail: u32) {
        self.memory.word(offset_of!(UserPage, sq_tail)).store(tail, SeqCst);
    }

    fn set_cq_head(&self, head: u32) {
        self.memory.word(offset_of!(UserPage, cq_head)).store(head, SeqCst);
    }

    fn cq_tail(&self) -> u32 {
        self.page.word(offset_of!(KernelPage, cq_tail)).load(SeqCst)
    }

    fn push(&mut self, submission: &Submission) {
        use kp_abi::zerocopy::IntoBytes;
        let at = self.setup.sq_at as usize + (self.tail % self.setup.entries) as usize * size_of::<Submission>();
        self.memory.write(at, submission.as_bytes());
        self.tail = self.tail.wrapping_add(1);
        self.set_tail(self.tail);
    }

    /// The completion with this index: what it belongs to, and the answer.
    fn completion(&self, index: u32) -> (u64, Error) {
        let at = self.setup.cq_at as usize + (index % self.setup.entries) as usize * 32;
        let words: Vec<u64> = self.memory.words(at, 4).iter().map(|word| word.load(SeqCst)).collect();
        assert_eq!(words[2..], [0, 0], "reserved");
        (words[0], Error::new(Status(words[1] as u32), (words[1] >> 32) as u32))
    }

    /// RING_ENTER with its struct: how many were taken, and the status.
    fn enter(&self, to_submit: u32) -> (u32, Status) {
        let mut enter = RingEnter { to_submit, ..Request::new() };
        let address = self.app.memory().place(&enter);
        self.app.raw(RingEnter::NR, address).unwrap();
        enter = self.app.memory().value(address).unwrap();
        (enter.submitted, Status(enter.head.status))
    }

    /// Pushes one, runs it, and takes its completion.
    fn one(&mut self, submission: &Submission) -> Error {
        self.push(submission);
        assert_eq!(self.enter(1), (1, Status::OK));
        let (user_data, answer) = self.completion(self.tail.wrapping_sub(1));
        assert_eq!(user_data, submission.user_data);
        self.set_cq_head(self.tail);
        answer
    }

    fn data_words(&self) -> u32 {
        (self.setup.memory_len as u32 - self.setup.data_at) / 8
    }
}

#[test]
fn one_request_runs_many_messages_in_their_order() {
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let mut ring = Ring::set_up(plugin.connection(), 64, 4096).unwrap();
    let mut queues = ring.queues();
    (0..64).for_each(|n| assert!(queues.push(&factorial(n % 10))));
    assert!(!queues.push(&submission()), "there are 64");
    queues.publish();
    drop(queues);
    assert_eq!(ring.enter(), (64, Ok(())));
    for n in 0..64 {
        assert_eq!(ring.queues().pop(), Some((n % 10, Error::new(Status::OK, 4))));
        let mut reply = [0; 4];
        ring.read(8 * (n % 10) as usize, &mut reply);
        assert_eq!(u32::from_le_bytes(reply), (1..=n as u32 % 10).product::<u32>());
    }
    assert_eq!(ring.queues().pop(), None);
}

/// SplitMix64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[(self.next() % list.len() as u64) as usize]
    }
}

#[test]
fn every_message_is_answered_as_a_call_is() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 300_000);
    // The other one is a session of its own, with the same history.
    let other = sim.connect(messages::INTERFACE).unwrap();
    let mut random = Random(1);
    for round in 0..3000 {
        let message = random.of(&[0, 1, 2, 3, 4, 5, 5, 6, 9, u32::MAX]);
        // Never a nap, and never so long a wait.
        let args_len = if message == 6 { random.of(&[0, 3]) } else { random.of(&[0, 1, 4, 4, 4, 5, 8, 256, 257]) };
        let in_len = random.of(&[0, 0, 0, 1, 8, 27, 100, 4096, 4097, 65_536, 65_537]);
        let out_len = random.of(&[0, 3, 4, 4, 5, 64, 4096, 4097, 65_536, 65_537]);
        let bytes: Vec<u8> = (0..args_len.max(in_len)).map(|at| (at * round % 7) as u8).collect();
        let (args, data) = (&bytes[..args_len], &bytes[..in_len]);
        let mut room = vec![0xEE; out_len];
        let called = other.connection().call(message, 0, args, data, &mut room);

        let data_at = args_len.next_multiple_of(8);
        let inline = data_at + in_len <= 32 && random.of(&[true, false]);
        let mut wanted = Submission {
            user_data: round as u64,
            message,
            args_len: args_len as u16,
            in_len: in_len as u32,
            out_word: 20_000,
            out_len: out_len as u32,
            ..submission()
        };
        if inline {
            use kp_abi::zerocopy::IntoBytes;
            wanted.flags = INLINE;
            wanted.inline.as_mut_bytes()[..args_len].copy_from_slice(args);
            wanted.inline.as_mut_bytes()[data_at..data_at + in_len].copy_from_slice(data);
        } else {
            raw.memory.write(raw.setup.data_at as usize, args);
            raw.memory.write(raw.setup.data_at as usize + data_at, data);
        }
        let answer = raw.one(&wanted);
        let expected = called.map_or_else(|error| error, |written| Error::new(Status::OK, written as u32));
        assert_eq!(answer, expected, "message {message}, {args_len} and {in_len} bytes, room for {out_len}");
        if let Ok(written) = called {
            let mut reply = vec![0; written];
            raw.memory.read(raw.setup.data_at as usize + 160_000, &mut reply);
            assert_eq!(reply, room[..written], "message {message}");
        }
    }
}

#[test]
fn impossible_indices_are_found_and_nothing_runs() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 8, 4096);
    raw.push(&factorial(5));
    for tail in [9, 10, 0x8000_0000, u32::MAX] {
        raw.set_tail(tail);
        assert_eq!(raw.enter(8), (0, Status::RING_CORRUPT), "a tail of {tail}");
    }
    raw.set_tail(1);
    for head in [1, 2, 0x8000_0000, u32::MAX - 8] {
        raw.set_cq_head(head);
        assert_eq!(raw.enter(8), (0, Status::RING_CORRUPT), "a head of {head}");
    }
    assert_eq!(raw.cq_tail(), 0, "nothing was completed");
    raw.set_cq_head(0);
    assert_eq!(raw.enter(0), (0, Status::OK), "none was asked for");
    assert_eq!(raw.enter(u32::MAX), (1, Status::OK));
    assert_eq!(raw.completion(0), (5, Error::new(Status::OK, 4)));
}

#[test]
fn what_the_driver_has_written_it_does_not_read() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    for n in 0..20 {
        // Completions full of noise, and whatever else lies before the data.
        for at in (raw.setup.cq_at as usize..raw.setup.data_at as usize).step_by(8) {
            if at % 32 < 16 {
                raw.memory.words(at, 1)[0].store(u64::MAX - n, Relaxed);
            }
        }
        assert_eq!(raw.one(&factorial(n as u32 % 9)), Error::new(Status::OK, 4));
    }
    assert_eq!(raw.cq_tail(), 20);
    assert_eq!(raw.app.map(raw.setup.page_offset, PAGE, true).unwrap_err(), Status::DENIED, "it can only be read");
}

#[test]
fn places_outside_of_the_data_area_are_refused_before_the_handler() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    let words = raw.data_words();
    let keep = Submission { message: 3, out_word: 0, out_len: 4, ..submission() };
    for (in_word, in_len, out_word, want) in [
        (words - 1, 8, 0, Status::OK),
        (words - 1, 9, 0, Status::BAD_FIELD),
        (words, 1, 0, Status::BAD_FIELD),
        (u32::MAX, 1, 0, Status::BAD_FIELD),
        (u32::MAX, 65_536, 0, Status::BAD_FIELD),
        (0, 4097, 0, Status::BAD_FIELD),
        (0, 65_537, 0, Status::PAYLOAD_TOO_LARGE),
        (0, u32::MAX, 0, Status::PAYLOAD_TOO_LARGE),
        (u32::MAX, 0, 0, Status::OK), // no bytes are nowhere
        (0, 8, words - 1, Status::OK),
        (0, 8, words, Status::BAD_FIELD),
        (0, 8, u32::MAX, Status::BAD_FIELD),
    ] {
        let answer = raw.one(&Submission { in_word, in_len, out_word, ..keep });
        assert_eq!(answer.status, want, "{in_len} bytes at {in_word}, a reply at {out_word}");
    }
    // The message with fixed sizes, which goes a shorter way.
    let n = Submission { message: 5, args_len: 4, out_len: 4, ..submission() };
    for (in_word, out_word, want) in [
        (words - 1, words - 1, Status::OK),
        (words, 0, Status::BAD_FIELD),
        (0, words, Status::BAD_FIELD),
        (u32::MAX, 0, Status::BAD_FIELD),
        (0, u32::MAX, Status::BAD_FIELD),
    ] {
        raw.memory.write(raw.setup.data_at as usize + 8 * (words as usize - 1), &3u32.to_le_bytes());
        let answer = raw.one(&Submission { in_word, out_word, ..n });
        assert_eq!(answer.status, want, "an argument at {in_word}, a reply at {out_word}");
    }
}

#[test]
fn flags_and_inline_bytes_are_checked() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    for bit in 2..16 {
        assert_eq!(raw.one(&Submission { flags: 1 << bit, ..factorial(3) }), Status::UNKNOWN_FLAG);
    }
    let keep = Submission { message: 3, flags: INLINE, out_len: 4, ..submission() };
    assert_eq!(raw.one(&Submission { in_len: 32, in_word: u32::MAX, ..keep }), Error::new(Status::OK, 4));
    assert_eq!(raw.one(&Submission { in_len: 33, ..keep }), Status::INPUT_LENGTH);
    assert_eq!(raw.one(&Submission { flags: INLINE | NOWAIT, ..factorial(3) }), Error::new(Status::OK, 4));
}

#[test]
fn bytes_behind_a_reply_are_zeros_up_to_its_word_and_else_untouched() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    raw.memory.write(raw.setup.data_at as usize, &[0xEE; 64]);
    let ones = [0x1111_1111_1111_1111; 4];
    let keep =
        Submission { message: 3, flags: INLINE, in_len: 11, out_word: 100, out_len: 4, inline: ones, ..submission() };
    assert_eq!(raw.one(&keep), Error::new(Status::OK, 4));
    assert_eq!(
        raw.one(&Submission { message: 4, out_word: 1, out_len: 40, ..submission() }),
        Error::new(Status::OK, 11),
        "the text"
    );
    let mut seen = [0; 64];
    raw.memory.read(raw.setup.data_at as usize, &mut seen);
    let expected: Vec<u8> = [vec![0xEE; 8], vec![0x11; 11], vec![0; 5], vec![0xEE; 40]].concat();
    assert_eq!(seen[..], expected);
}

#[test]
fn without_room_for_completions_it_stops_and_drops_nothing() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    (0..4).for_each(|n| raw.push(&factorial(n)));
    assert_eq!(raw.enter(4), (4, Status::OK));
    (4..8).for_each(|n| raw.push(&factorial(n)));
    assert_eq!(raw.enter(4), (0, Status::BUSY));
    raw.set_cq_head(3);
    assert_eq!(raw.enter(4), (3, Status::BUSY));
    assert_eq!((raw.completion(4).0, raw.completion(5).0, raw.completion(6).0), (4, 5, 6));
    raw.set_cq_head(7);
    assert_eq!(raw.enter(4), (1, Status::OK));
    assert_eq!(raw.completion(7), (7, Error::new(Status::OK, 4)));
}

#[test]
fn setting_up_is_refused_where_it_must_be_and_leaves_nothing() {
    let sim = sim();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let app = plugin.connection();
    let before = sim.live();
    let setup = |entries, data_len| {
        let mut setup = RingSetup { entries, data_len, ..Request::new() };
        app.ring_setup(&mut setup).map_err(|error| error.status)
    };
    for (entries, data_len) in [(0, 0), (3, 0), (8192, 0), (u32::MAX, 0), (1, u32::MAX), (4096, 4 << 20)] {
        assert_eq!(setup(entries, data_len), Err(Status::BAD_FIELD), "{entries} entries, {data_len} bytes");
    }
    assert_eq!(app.ring_enter(1), Err(Status::NO_RING.into()));
    assert_eq!(app.ring_teardown(), Err(Status::NO_RING.into()));
    assert_eq!(app.map_shared(0, PAGE, false).unwrap_err(), Status::BAD_FIELD, "nothing to map yet");
    assert_eq!(sim.live(), before);
    assert_eq!(setup(8, 100), Ok(()));
    assert_eq!(setup(8, 100), Err(Status::RING_EXISTS));
    for (offset, len) in [(0, 2 * PAGE), (PAGE as u64, PAGE), (2 * PAGE as u64, PAGE), (1, PAGE), (u64::MAX, PAGE)] {
        assert_eq!(app.map_shared(offset, len, false).unwrap_err(), Status::BAD_FIELD, "{len} bytes at {offset}");
    }
    assert_eq!(app.ring_teardown(), Ok(()));
    assert_eq!(setup(4096, 0), Ok(()), "and anew");
    assert_eq!(app.close(), Ok(()));
    assert_eq!(setup(8, 0), Err(Status::CLOSED));
    assert_eq!(app.ring_enter(1), Err(Status::CLOSED.into()));
    assert_eq!(app.ring_teardown(), Err(Status::CLOSED.into()));
    assert_eq!(app.map_shared(0, PAGE, false).unwrap_err(), Status::CLOSED);
}

#[test]
fn a_second_ring_starts_from_the_beginning() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    (0..3).for_each(|n| assert_eq!(raw.one(&factorial(n)), Error::new(Status::OK, 4)));
    raw.app.ring_teardown().unwrap();
    raw.set_tail(77); // nobody reads it any more
    let mut setup = RingSetup { entries: 4, data_len: 0, ..Request::new() };
    raw.app.ring_setup(&mut setup).unwrap();
    assert_eq!(raw.cq_tail(), 0, "the page is the session's, and has the new ring's words");
    assert_eq!(raw.enter(1), (0, Status::OK), "the new ring is empty");
}

#[test]
fn the_last_mapping_keeps_the_handle_open() {
    let sim = sim();
    let app = sim.open();
    let mut open = kp_abi::request::Open {
        abi_major: kp_abi::limits::ABI_MAJOR,
        abi_minor: kp_abi::limits::ABI_MINOR,
        features: feature::RING,
        message_count: messages::INTERFACE.methods.len() as u32,
        fingerprint: messages::INTERFACE.fingerprint(),
        ..Request::new()
    };
    app.open(&mut open, &[]).unwrap();
    let mut setup = RingSetup { entries: 4, data_len: 4096, ..Request::new() };
    app.ring_setup(&mut setup).unwrap();
    let memory = app.map(setup.memory_offset, setup.memory_len as usize, true).unwrap();
    let page = app.map(setup.page_offset, setup.page_len as usize, false).unwrap();
    let mapped = sim.live();
    drop(app); // no CLOSE, as by a process that dies
    assert_eq!(sim.live(), mapped);
    drop(memory);
    assert_eq!(sim.live(), mapped);
    drop(page);
    assert_eq!(sim.live().handles, 0);
    assert!(sim.live().allocations < mapped.allocations, "session, ring and page are gone");
    assert_eq!(sim.unload(), Ok(()));
}

#[test]
fn mappings_outlive_close_and_removal() {
    for removes in [false, true] {
        let sim = sim();
        let mut raw = Raw::new(&sim, 4, 4096);
        raw.push(&factorial(3));
        let with_ring = sim.live().allocations;
        if removes {
            sim.remove(true);
        } else {
            raw.app.close().unwrap();
        }
        assert!(sim.live().allocations < with_ring, "the kernel's side let the ring go");
        let gone = if removes { Status::DEVICE_GONE } else { Status::CLOSED };
        assert_eq!(raw.enter(1), (0, gone));
        // What is mapped is still there, and nobody's but the app's.
        raw.set_tail(9);
        raw.memory.write(raw.setup.data_at as usize, &[7; 4096]);
        assert_eq!(raw.cq_tail(), 0);
    }
}

#[test]
fn one_request_at_a_time_is_in_a_ring() {
    explore(0..60, |world| {
        let sim = sim();
        let mut raw = Raw::new(&sim, 8, 4096);
        raw.push(&Submission { message: 6, flags: INLINE, args_len: 4, inline: [20, 0, 0, 0], ..submission() });
        raw.push(&factorial(4));
        let (raw, mut statuses) = (&raw, Vec::new());
        world.scope(|scope| {
            scope.spawn("first", || assert!(matches!(raw.enter(8), (0 | 2, Status::OK | Status::BUSY))));
            scope.spawn("second", || {
                assert!(matches!(raw.enter(8), (0 | 2, Status::OK | Status::BUSY)));
                statuses.push(raw.app.ring_teardown());
            });
        });
        for torn in statuses {
            assert!(torn == Ok(()) || torn == Err(Status::BUSY.into()));
        }
        assert_eq!(raw.cq_tail(), 2, "each message ran once");
    });
}

#[test]
fn closing_removing_and_killing_end_a_batch_between_two_messages() {
    let mut seen = std::collections::BTreeSet::new();
    for end in ["close", "remove", "kill"] {
        explore(0..40, |world| {
            let sim = sim();
            let mut raw = Raw::new(&sim, 64, 4096);
            for _ in 0..32 {
                raw.push(&Submission { message: 6, flags: INLINE, args_len: 4, inline: [1, 0, 0, 0], ..submission() });
                raw.push(&factorial(3));
            }
            let (raw, mut entered) = (&raw, (0, Status::OK));
            world.scope(|scope| {
                scope.spawn("batch", || entered = raw.enter(64));
                scope.spawn("end", || match end {
                    "close" => raw.app.close().unwrap(),
                    "remove" => sim.remove(true),
                    _ => raw.app.kill(),
                });
            });
            let (submitted, status) = entered;
            let over = match end {
                "close" => Status::CLOSED,
                "remove" => Status::DEVICE_GONE,
                _ => Status::INTERRUPTED,
            };
            assert!(status == over || (status, submitted) == (Status::OK, 64), "{end}: {submitted} {status}");
            let ended = (0..submitted).filter(|&at| raw.completion(at).1 == over).count();
            assert!(ended <= 1, "{end}: {ended} of {submitted} messages were told");
            seen.insert((end, status == over));
        });
    }
    for end in ["close", "remove", "kill"] {
        assert!(seen.contains(&(end, true)), "{end} never came in time");
    }
}

#[test]
fn a_device_that_sleeps_keeps_a_batch_waiting_or_is_told_of() {
    explore(0..20, |world| {
        let sim = sim();
        let mut raw = Raw::new(&sim, 4, 4096);
        sim.suspend();
        assert_eq!(raw.one(&Submission { flags: INLINE | NOWAIT, ..factorial(3) }), Status::SUSPENDED);
        raw.push(&factorial(4));
        let raw = &raw;
        world.scope(|scope| {
            scope.spawn("batch", || assert_eq!(raw.enter(1), (1, Status::OK)));
            scope.spawn("resumer", || sim.resume());
        });
        assert_eq!(raw.completion(1), (4, Error::new(Status::OK, 4)));
    });
}

#[test]
fn a_plugin_that_panics_in_a_batch_poisons_and_nothing_runs_after_it() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    raw.push(&Submission { message: 8, ..submission() });
    raw.push(&factorial(3));
    let mut enter = RingEnter { to_submit: 2, ..Request::new() };
    enter.submitted = 9;
    let address = raw.app.memory().place(&enter);
    assert_eq!(raw.app.raw(RingEnter::NR, address), Err(Status::POISONED));
    assert_eq!(raw.enter(2), (0, Status::POISONED));
    assert!(sim.is_poisoned());
}

#[test]
fn every_bad_struct_of_the_three_requests_has_its_status() {
    fn status<R: Request>(app: &App<Part>, request: R) -> Status {
        let address = app.memory().place(&request);
        match app.raw(R::NR, address) {
            Ok(()) => Status(app.memory().value::<R>(address).unwrap().head().status),
            Err(status) => status,
        }
    }
    fn each<R: Request>(app: &App<Part>) {
        let with = |size: u32, flags: u32| {
            let mut request = R::new();
            (request.head().size, request.head().flags) = (size, flags);
            status(app, request)
        };
        assert_eq!(with(R::FIRST_SIZE as u32 - 1, 0), Status::TOO_SMALL, "{}", R::NAME);
        assert_eq!(with(4097, 0), Status::TOO_LARGE, "{}", R::NAME);
        assert_eq!(with(R::FIRST_SIZE as u32, 1), Status::UNKNOWN_FLAG, "{}", R::NAME);
    }
    let sim = sim();
    let raw = Raw::new(&sim, 4, 0);
    each::<RingSetup>(&raw.app);
    each::<RingEnter>(&raw.app);
    each::<RingTeardown>(&raw.app);
    let reserved = RingSetup { entries: 4, reserved: 1, ..Request::new() };
    assert_eq!(status(&raw.app, reserved), Status::BAD_FIELD);
    let fresh = sim.open();
    assert_eq!(status(&fresh, RingSetup { entries: 4, ..Request::new() }), Status::NOT_OPEN);
    assert_eq!(status(&fresh, RingEnter::new()), Status::NOT_OPEN);
    assert_eq!(status(&fresh, RingTeardown::new()), Status::NOT_OPEN);
    assert_eq!(fresh.raw_enter(1), Ok(Status::NOT_OPEN));
    let reader = sim.open_in(&Process::new(2), Mode::Read).unwrap();
    assert_eq!(status(&reader, RingEnter::new()), Status::DENIED);
    assert_eq!(reader.raw_enter(1), Err(Status::DENIED));
    assert!(raw.plugin.query().unwrap().features & feature::RING != 0);
}

/// Everything that the app can write is noise, again and again: the answers are of the table, the plugin goes on, nothing is left.
#[test]
fn noise_in_shared_memory_hurts_nobody_else() {
    const ENTERS: u32 = 100_000;
    let sim = sim();
    let other = sim.connect(messages::INTERFACE).unwrap();
    messages::Client(&other).keep(b"untouched").unwrap();
    let mut raw = Raw::new(&sim, 8, 4096);
    let mut random = Random(0x5EED);
    let (mut completed, mut statuses) = (0u32, std::collections::BTreeSet::new());
    for _ in 0..ENTERS {
        // Mostly plausible messages, then some words of noise.
        let message = random.of(&[1, 2, 3, 4, 5, 5, 99]);
        let wanted = Submission {
            user_data: random.next(),
            message,
            flags: random.of(&[0, INLINE, INLINE, NOWAIT, 4]),
            args_len: random.of(&[0, 4, 4, 8, 300]),
            in_word: random.of(&[0, 1, 511, 512, u32::MAX]),
            in_len: random.of(&[0, 0, 3, 28, 4096, 70_000]),
            out_word: random.of(&[0, 1, 511, 512, u32::MAX]),
            out_len: random.of(&[0, 4, 4, 100, 4096, 70_000]),
            inline: [random.next() % 12, random.next(), 0, 0],
        };
        raw.push(&wanted);
        if random.next().is_multiple_of(4) {
            let slot = raw.setup.sq_at as usize + (random.next() % 8) as usize * 64 + (random.next() % 8) as usize * 8;
            // Not a nap, which would only take time, nor what poisons or storms on purpose.
            let noise = random.next();
            if slot % 64 != 8 || !matches!(noise as u32, 6..=8) {
                raw.memory.words(slot, 1)[0].store(noise, Relaxed);
            }
        }
        match random.next() % 8 {
            0 => raw.set_tail(random.next() as u32),
            1 => raw.set_cq_head(random.next() as u32),
            2 => raw.set_cq_head(completed.wrapping_sub(random.of(&[7, 8]))),
            _ => raw.set_cq_head(completed),
        }
        let (submitted, status) = raw.enter(random.of(&[0, 1, 8, u32::MAX]));
        assert!(submitted <= 8, "{submitted}");
        assert!([Status::OK, Status::BUSY, Status::RING_CORRUPT].contains(&status), "{status}");
        assert!(status != Status::RING_CORRUPT || submitted == 0);
        statuses.insert(status.name());
        for _ in 0..submitted {
            let answer = raw.completion(completed).1.status;
            assert!(answer.row().is_some() && answer != Status::NO_REPLY, "{answer}");
            statuses.insert(answer.name());
            completed = completed.wrapping_add(1);
        }
        assert_eq!(raw.cq_tail(), completed);
        raw.set_cq_head(completed);
        raw.tail = completed; // what is not taken is overwritten
        raw.set_tail(completed);
    }
    for seen in [
        "Ok",
        "Busy",
        "RingCorrupt",
        "UnknownFlag",
        "BadField",
        "PayloadTooLarge",
        "UnknownMessage",
        "InputLength",
        "OutputLength",
    ] {
        assert!(statuses.contains(seen), "{seen} was never seen in {statuses:?}");
    }
    assert_eq!(messages::Client(&other).kept(&mut [0; 16]), Ok(&b"untouched"[..]));
    assert_eq!(raw.one(&factorial(5)), Error::new(Status::OK, 4));
}
