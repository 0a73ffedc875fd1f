//! Rings as they are meant to be used.
use super::{
    by_hand::{Raw, factorial, sim, submission},
    test_plugin::messages,
};
use kp_abi::{
    Error, Status,
    ring::{INLINE, NOWAIT, Submission},
    zerocopy::IntoBytes,
};
use kp_sim::{Random, explore};
use kp_user::{Connection, Ring};

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
fn a_second_ring_starts_from_the_beginning() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    (0..3).for_each(|n| assert_eq!(raw.one(&factorial(n)), Error::new(Status::OK, 4)));
    raw.app.ring_teardown().unwrap();
    raw.set_tail(77); // nobody reads it any more
    raw.set_up_again();
    assert_eq!(raw.cq_tail(), 0, "the driver's words are the new ring's");
    if raw.page.is_none() {
        assert_eq!(raw.enter(1), (0, Status::RING_CORRUPT), "a buffer is as the app has left it");
        raw.set_tail(0);
        raw.set_cq_head(0);
    }
    assert_eq!(raw.enter(1), (0, Status::OK), "the new ring is empty");
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
fn a_device_that_sleeps_holds_a_batch_unless_it_may_not_wait() {
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
