//! A ring that is made of a buffer of the app's: who may, and how long the memory stays, whichever of its ends comes first.
use super::{
    by_hand::{BUFFER, Raw, factorial, lend, sim, submission},
    test_plugin::{TestPlugin, messages},
};
use kp_abi::{
    Error, Status, TransportStatus,
    limits::{MAX_BUFFERS, MAX_RING_ENTRIES, MAX_RING_MEMORY},
    request::{ANY_VECTOR, BufferRegister, Request, RingSetup, access, feature, kind},
    ring::{INLINE, PAGE, Submission, UserPage},
};
use kp_sim::{App, Sim, edu::Edu, every_failure, explore};
use kp_user::{Access, Connection, Plugin, Ring, SharedMemory};
use std::{mem::offset_of, sync::Arc, sync::atomic::Ordering::SeqCst};

fn session(sim: &Sim<TestPlugin>) -> (Arc<App<TestPlugin>>, Plugin) {
    let app = Arc::new(sim.open());
    let plugin = Plugin::over(app.clone(), messages::INTERFACE, &[]).unwrap();
    (app, plugin)
}

fn setup(app: &App<TestPlugin>, buffer: u32) -> Result<RingSetup, Status> {
    let mut setup = RingSetup { entries: 4, data_len: 4096, buffer, ..Request::new() };
    app.ring_setup(&mut setup).map(|()| setup).map_err(|error| error.status)
}

/// The length of such a ring.
const LEN: usize = 3 * PAGE;

#[test]
fn where_no_memory_is_mapped_every_plugin_has_buffers_and_rings_are_made_of_them() {
    let sim = sim();
    let (app, plugin) = session(&sim);
    let query = plugin.query().unwrap();
    assert_eq!(query.features & (feature::RING | feature::BUFFERS), feature::RING | feature::BUFFERS);
    assert_eq!((query.max_ring_entries, query.max_ring_memory), (MAX_RING_ENTRIES, MAX_RING_MEMORY as u32));
    assert_eq!(query.max_buffers, MAX_BUFFERS);
    assert_eq!(setup(&app, 0), Err(Status::BAD_FIELD), "the driver has no memory to share");
    lend(&app, BUFFER, LEN);
    let answer = setup(&app, BUFFER).unwrap();
    assert_eq!((answer.memory_offset, answer.memory_len), (0, LEN as u64));
    assert_eq!((answer.page_offset, answer.page_len), (0, 0), "no kernel page");
    for offset in [0, PAGE as u64] {
        assert_eq!(app.map_shared(offset, LEN, true).unwrap_err(), Status::BAD_FIELD, "{offset}");
        assert_eq!(app.map_shared(offset, PAGE, false).unwrap_err(), Status::BAD_FIELD, "{offset}");
    }
}

#[test]
fn a_buffer_is_there_long_enough_and_for_writing_or_it_becomes_no_ring() {
    let sim = sim();
    let (app, _plugin) = session(&sim);
    for number in [BUFFER, MAX_BUFFERS, u32::MAX] {
        assert_eq!(setup(&app, number), Err(Status::NO_BUFFER), "{number}");
    }
    lend(&app, 1, LEN - PAGE);
    assert_eq!(setup(&app, 1), Err(Status::BAD_FIELD), "a page is missing");
    let (addr, _memory) = app.new_memory(LEN).unwrap();
    let (buffer, len, access) = (2, LEN as u64, access::READ);
    app.buffer_register(&BufferRegister { addr, len, buffer, access, ..Request::new() }).unwrap();
    assert_eq!(setup(&app, 2), Err(Status::READ_ONLY));
    lend(&app, 3, 5 * LEN);
    assert_eq!(setup(&app, 3).map(|answer| answer.memory_len), Ok(LEN as u64), "more is not looked at");
    assert_eq!(setup(&app, 3), Err(Status::RING_EXISTS));
    assert_eq!(app.ring_teardown(), Ok(()));
    app.buffer_release(3).unwrap();
    assert_eq!(setup(&app, 3), Err(Status::NO_BUFFER), "it is released");
}

/// The session is granted what it asks for, and what was not granted is not there.
#[test]
fn a_session_without_rings_or_without_buffers_has_none() {
    let sim = sim();
    for (features, want) in
        [(feature::BUFFERS, TransportStatus::UNKNOWN_REQUEST.status()), (feature::RING, Status::NO_BUFFER)]
    {
        let app = sim.open();
        let mut open = kp_abi::request::Open {
            abi_major: kp_abi::limits::ABI_MAJOR,
            abi_minor: kp_abi::limits::ABI_MINOR,
            features,
            message_count: messages::INTERFACE.methods.len() as u32,
            fingerprint: messages::INTERFACE.fingerprint(),
            ..Request::new()
        };
        app.open(&mut open, &[]).unwrap();
        let (addr, _memory) = app.new_memory(LEN).unwrap();
        let (buffer, len, access) = (BUFFER, LEN as u64, access::WRITE);
        let registered = app.buffer_register(&BufferRegister { addr, len, buffer, access, ..Request::new() });
        assert_eq!(registered.is_ok(), features & feature::BUFFERS != 0);
        assert_eq!(setup(&app, BUFFER), Err(want), "features {features}");
    }
}

#[test]
fn the_drivers_words_are_written_and_never_read() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    let (sq_head, cq_tail) = (offset_of!(UserPage, sq_head), offset_of!(UserPage, cq_tail));
    for n in 0..20 {
        for at in [sq_head, cq_tail] {
            raw.memory.word(at).store(u32::MAX - n, SeqCst);
        }
        assert_eq!(raw.one(&factorial(n % 10)), Error::new(Status::OK, 4));
        assert_eq!([sq_head, cq_tail].map(|at| raw.memory.word(at).load(SeqCst)), [n + 1; 2]);
    }
}

#[test]
fn a_released_buffer_stays_as_long_as_its_ring() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    let pinned = sim.live().pinned;
    raw.app.buffer_release(BUFFER).unwrap();
    assert_eq!(sim.live().pinned, pinned, "the ring has it");
    lend(&raw.app, BUFFER, PAGE); // the number is free
    assert_eq!(raw.one(&factorial(5)), Error::new(Status::OK, 4));
    assert_eq!(raw.app.buffer_release(BUFFER), Ok(()));
    assert_eq!(raw.app.ring_teardown(), Ok(()));
    assert_eq!(sim.live().pinned, pinned - 1, "nobody has it any more");
}

/// The app unmaps it, the ring goes, the buffer goes, the session goes, the device goes: in every order.
#[test]
fn its_memory_goes_with_the_last_that_has_it_in_any_order() {
    type End = fn(&Sim<TestPlugin>, &App<TestPlugin>, &SharedMemory);
    let ends: [(&str, End); 5] = [
        ("release", |_, app, _| _ = app.buffer_release(BUFFER)),
        ("teardown", |_, app, _| _ = app.ring_teardown()),
        ("cancel", |_, app, memory| app.cancel_buffer(memory)),
        ("close", |_, app, _| _ = app.close()),
        ("remove", |sim, _, _| sim.remove(true)),
    ];
    for first in 0..ends.len() {
        for second in 0..ends.len() {
            let sim = sim();
            let raw = Raw::new(&sim, 4, 4096);
            let Raw { app, plugin, memory, .. } = raw;
            ends[first].1(&sim, &app, &memory);
            ends[second].1(&sim, &app, &memory);
            let both = (ends[first].0, ends[second].0);
            let is_kept = matches!(both, ("release" | "teardown", _)) && first == second;
            assert_eq!(sim.live().pinned, usize::from(is_kept), "{both:?}");
            drop((memory, plugin, app));
            assert_eq!(sim.live().pinned, 0, "{both:?}");
        }
    }
}

#[test]
fn a_buffer_that_is_cancelled_takes_its_ring_along_and_no_other() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    let other = lend(&raw.app, 2, LEN);
    raw.app.cancel_buffer(&other);
    assert_eq!(raw.one(&factorial(5)), Error::new(Status::OK, 4), "another buffer's end is not the ring's");
    raw.app.cancel_buffer(&raw.memory);
    assert_eq!(sim.live().pinned, 0);
    assert_eq!(raw.enter(1), (0, Status::NO_RING));
    assert_eq!(raw.app.ring_teardown(), Err(Status::NO_RING.into()));
    // What was one ring's is not the next one's.
    let before = lend(&raw.app, 2, LEN);
    setup(&raw.app, 2).unwrap();
    raw.app.ring_teardown().unwrap();
    lend(&raw.app, 3, LEN);
    setup(&raw.app, 3).unwrap();
    raw.app.cancel_buffer(&before);
    assert_eq!(raw.enter(0), (0, Status::OK));
}

/// A message of a batch runs while its buffer is cancelled: the batch ends after it, the memory is there until then, and there may be another ring.
#[test]
fn a_batch_whose_buffer_is_cancelled_ends_after_its_message() {
    let mut seen = std::collections::BTreeSet::new();
    explore(0..200, |world| {
        let sim = sim();
        let mut raw = Raw::new(&sim, 64, 4096);
        for _ in 0..32 {
            raw.push(&Submission { message: 6, flags: INLINE, args_len: 4, inline: [1, 0, 0, 0], ..submission() });
        }
        let (raw, mut entered) = (&raw, (0, Status::OK));
        world.scope(|scope| {
            scope.spawn("batch", || entered = raw.enter(64));
            scope.spawn("cancel", || raw.app.cancel_buffer(&raw.memory));
        });
        let (submitted, status) = entered;
        let fits = match status {
            Status::INTERRUPTED => (0..32).contains(&submitted),
            Status::OK => submitted == 32,
            _ => (status, submitted) == (Status::NO_RING, 0),
        };
        assert!(fits, "{submitted} {status}");
        assert!((0..submitted).all(|at| raw.completion(at).1 == Status::OK), "each that was taken has run");
        assert_eq!(sim.live().pinned, 0);
        assert_eq!(raw.enter(1), (0, Status::NO_RING));
        seen.insert((status.name(), submitted != 0));
        lend(&raw.app, 2, LEN);
        setup(&raw.app, 2).unwrap();
        assert_eq!(raw.enter(1), (0, Status::OK), "what was cancelled was the other one");
    });
    assert!(seen.contains(&("Interrupted", true)) && seen.contains(&("NoRing", false)), "{seen:?}");
}

/// A buffer is cancelled while a ring is made of it: either there is none, or it goes again.
#[test]
fn a_buffer_that_is_cancelled_during_setup_leaves_no_ring() {
    let mut seen = std::collections::BTreeSet::new();
    explore(0..200, |world| {
        let sim = sim();
        let (app, _plugin) = session(&sim);
        let memory = lend(&app, BUFFER, LEN);
        let mut made = Ok(());
        world.scope(|scope| {
            scope.spawn("setup", || made = setup(&app, BUFFER).map(|_| ()));
            scope.spawn("cancel", || app.cancel_buffer(&memory));
        });
        assert!(made.is_ok() || made == Err(Status::NO_BUFFER), "{made:?}");
        seen.insert(made.is_ok());
        assert_eq!(sim.live().pinned, 0);
        assert_eq!(app.ring_teardown(), Err(Status::NO_RING.into()));
    });
    assert_eq!(seen.len(), 2, "both were seen");
}

/// A ring is made while the buffer of the one before, which is down, is cancelled: the new one stays.
#[test]
fn a_ring_does_not_go_with_the_buffer_of_the_one_before() {
    explore(0..300, |world| {
        let sim = sim();
        let raw = Raw::new(&sim, 4, 4096);
        let app = &raw.app;
        lend(app, 2, LEN);
        app.ring_teardown().unwrap();
        let mut made = Ok(());
        world.scope(|scope| {
            scope.spawn("setup", || made = setup(app, 2).map(|_| ()));
            scope.spawn("cancel", || app.cancel_buffer(&raw.memory));
        });
        // Who takes the one before away may be in the place of the ring just then.
        assert!(made.is_ok() || made == Err(Status::BUSY), "{made:?}");
        assert_eq!(app.ring_teardown().is_ok(), made.is_ok());
    });
}

#[test]
fn a_batch_and_its_counters_are_the_same_for_the_app() {
    let sim = sim();
    let (app, plugin) = session(&sim);
    let client = messages::Client(&plugin);
    let mut batch = client.batch().unwrap();
    let tickets: Vec<_> = (0..10).map(|n| batch.factorial(n).unwrap()).collect();
    let kept = batch.keep(&[7; 3000]).unwrap();
    let replies = batch.run();
    let factorials: Vec<u32> = replies.all(tickets).map(|n| n.unwrap()).collect();
    assert_eq!(factorials, (0..10).map(|n| (1..=n).product()).collect::<Vec<u32>>());
    assert_eq!(replies.get(kept), Ok(3000));
    drop(batch);
    app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
    client.raise(1).unwrap();
    let counters = plugin.with_ring(|ring| ring.unwrap().counters(ANY_VECTOR)).unwrap();
    assert_eq!(counters, app.int_count(ANY_VECTOR).unwrap());
    assert_eq!(counters.1.notified, 1);
    // The ring is set up: its number is free again, and all 64 may be the app's own.
    let buffers: Vec<_> = (0..MAX_BUFFERS).map(|_| plugin.buffer(1, Access::Read).unwrap()).collect();
    assert_eq!(plugin.set_up_ring(4, 0), Err(Status::BUFFER_IN_USE.into()));
    let rest = buffers.into_iter().skip(1).collect::<Vec<_>>();
    assert_eq!(
        plugin.set_up_ring(4, 0),
        Err(Status::BUFFER_IN_USE.into()),
        "number 0 alone is free, and makes no ring"
    );
    drop(rest);
    plugin.set_up_ring(4, 0).unwrap();
    assert_eq!(Ring::set_up(plugin.connection(), 3, 0).unwrap_err(), Status::BAD_FIELD);
    assert_eq!(Ring::set_up(plugin.connection(), 4, 0).unwrap_err(), Status::RING_EXISTS);
    drop(plugin);
    assert_eq!(sim.live().pinned, 0);
}

#[test]
fn a_failure_on_the_way_to_a_ring_is_told_and_leaves_nothing() {
    let told = every_failure(
        || super::kernel().device(Edu::new()),
        |sim| -> Result<(), Error> {
            let plugin =
                sim.connect(messages::INTERFACE).map_err(|error| error.status().unwrap_or(Status::PROTOCOL))?;
            let failed = plugin.set_up_ring(8, 100);
            assert_eq!(sim.live().pinned, usize::from(failed.is_ok()));
            if failed.is_err() {
                plugin.set_up_ring(8, 100)?; // the same once more
            }
            failed
        },
    );
    assert!(told.len() > 8 && told.iter().all(Option::is_some), "{told:?}");
}
