//! An app that writes what it should not.
use super::{
    by_hand::{Raw, factorial, sim, submission},
    test_plugin::{TestPlugin, messages},
};
use kp_abi::{
    Error, Status, TransportStatus,
    request::{Request, RingEnter, RingSetup, RingTeardown, feature},
    ring::{INLINE, NOWAIT, PAGE, Submission},
};
use kp_sim::{App, Mode, Process, Random};
use std::sync::atomic::Ordering::Relaxed;

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
    if raw.page.is_some() {
        let denied = raw.app.map(raw.setup.page_offset, PAGE, true).unwrap_err();
        assert_eq!(denied, TransportStatus::DENIED.status(), "it can only be read");
    }
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
    // Where there is no data area, nothing is in it.
    let mut raw = Raw::new(&sim, 4, 0);
    assert_eq!(raw.data_words(), 0);
    assert_eq!(raw.one(&n), Status::BAD_FIELD);
    assert_eq!(raw.one(&Submission { flags: INLINE, inline: [3, 0, 0, 0], ..n }), Status::BAD_FIELD, "the reply");
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
fn every_bad_struct_of_the_three_requests_has_its_status() {
    fn status<R: Request>(app: &App<TestPlugin>, request: R) -> Status {
        let address = app.memory().place(&request);
        match app.raw(R::NR, address) {
            Ok(()) => Status(app.memory().value::<R>(address).unwrap().head().status),
            Err(status) => status,
        }
    }
    fn each<R: Request>(app: &App<TestPlugin>) {
        let with = |size: u32, flags: u32| {
            let mut request = R::new();
            (request.head().size, request.head().flags) = (size, flags);
            status(app, request)
        };
        assert_eq!(with(R::FIRST_SIZE as u32 - 1, 0), Status::TOO_SMALL, "{}", R::INFO.name);
        assert_eq!(with(4097, 0), Status::TOO_LARGE, "{}", R::INFO.name);
        assert_eq!(with(R::FIRST_SIZE as u32, 1), Status::UNKNOWN_FLAG, "{}", R::INFO.name);
    }
    let sim = sim();
    let raw = Raw::new(&sim, 4, 0);
    each::<RingSetup>(&raw.app);
    each::<RingEnter>(&raw.app);
    each::<RingTeardown>(&raw.app);
    for reserved in [
        RingSetup { entries: 4, reserved: 1, ..Request::new() },
        RingSetup { entries: 4, reserved_2: 1, ..Request::new() },
    ] {
        assert_eq!(status(&raw.app, reserved), Status::BAD_FIELD);
    }
    let fresh = sim.open();
    assert_eq!(status(&fresh, RingSetup { entries: 4, ..Request::new() }), Status::NOT_OPEN);
    assert_eq!(status(&fresh, RingEnter::new()), Status::NOT_OPEN);
    assert_eq!(status(&fresh, RingTeardown::new()), Status::NOT_OPEN);
    assert_eq!(fresh.raw_enter(1), Ok(Status::NOT_OPEN));
    let reader = sim.open_in(&Process::new(2), Mode::Read).unwrap();
    assert_eq!(status(&reader, RingEnter::new()), TransportStatus::DENIED.status());
    assert_eq!(reader.raw_enter(1), Err(TransportStatus::DENIED.status()));
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
