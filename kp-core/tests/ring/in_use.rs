//! Corners of rings: what else may happen to a session while its ring or its kernel page is in use.
use super::test_plugin::{TestPlugin, messages};
use kp_abi::{
    Status, TransportStatus,
    request::{ANY_VECTOR, IntWait, NO_TIMEOUT, Request, RingSetup, kind},
};
use kp_sim::{Access, App, PAGE, Sim, edu::Edu, explore};
use kp_user::{Connection, Plugin, Ring};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::*},
    },
};

fn session() -> (Sim<TestPlugin>, Arc<App<TestPlugin>>, Plugin) {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let app = Arc::new(sim.open());
    let plugin = Plugin::over(app.clone(), messages::INTERFACE, &[]).unwrap();
    (sim, app, plugin)
}

/// The page shows what INT_COUNT says, also when a wait has given back what it had taken: `delivered` falls then.
#[test]
fn the_kernel_page_shows_what_a_wait_gives_back() {
    let faults = Mutex::new(0);
    explore(0..100, |world| {
        let (sim, app, plugin) = session();
        plugin.set_up_ring(8, 0).unwrap();
        let shown = || plugin.with_ring(|ring| ring.unwrap().counters(ANY_VECTOR)).unwrap();
        app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
        messages::Client(&plugin).raise(1).unwrap();
        let wait = IntWait { timeout_ns: NO_TIMEOUT, vector: ANY_VECTOR, max: 1, ..IntWait::new() };
        let address = app.memory().place(&wait);
        world.scope(|scope| {
            scope.spawn("waiter", || {
                if app.raw(IntWait::NR, address) == Err(TransportStatus::FAULT.status()) {
                    *faults.lock().unwrap() += 1;
                    assert_eq!(shown().1.delivered, 0, "it was given back, or never taken");
                }
            });
            scope.spawn("protector", || {
                sim.advance(1);
                app.memory().protect(address, PAGE, Access::ReadOnly);
            });
        });
        assert_eq!(shown(), app.int_count(ANY_VECTOR).unwrap());
    });
    assert!(faults.into_inner().unwrap() > 5, "too few waits met the fault");
}

/// A real thread reads the page all the time, while one enabling follows the other: figures of one enabling never go back.
#[test]
fn the_kernel_page_names_no_enabling_while_its_counters_are_cleared() {
    const ENABLINGS: u64 = 3_000;
    let (_sim, app, plugin) = session();
    let connection: Arc<dyn Connection> = app.clone();
    let ring = Ring::set_up(&connection, 1, 8).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ring, done) = (&ring, &done);
        scope.spawn(move || {
            let mut before = (0, 0);
            while !done.load(Acquire) {
                let (generation, counters) = ring.counters(ANY_VECTOR).unwrap();
                let now = (generation, counters.received);
                // Zero: no enabling, just now.
                if generation != 0 {
                    assert!(now >= before, "after {before:?} the page shows {now:?}");
                    before = now;
                }
            }
        });
        for _ in 0..ENABLINGS {
            app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
            messages::Client(&plugin).raise(1).unwrap();
            app.int_disable().unwrap();
        }
        done.store(true, Release);
    });
}

/// Nothing is mapped while a request is in the ring, which may tear it down.
#[test]
fn a_ring_that_is_in_use_cannot_be_mapped() {
    let mapped = Mutex::new(BTreeSet::new());
    explore(0..60, |world| {
        let (_sim, app, plugin) = session();
        let mut ring = Ring::set_up(plugin.connection(), 8, 0).unwrap();
        let layout = RingSetup { entries: 8, ..RingSetup::new() };
        assert_eq!(app.ring_setup(&mut { layout }), Err(Status::RING_EXISTS.into()));
        for _ in 0..4 {
            let mut queues = ring.queues();
            assert!(queues.push(&nap(1)));
            queues.publish();
        }
        world.scope(|scope| {
            scope.spawn("batch", || assert_eq!(ring.enter(), (4, Ok(()))));
            scope.spawn("mapper", || {
                let page = app.map(0, PAGE, false).map(drop).map_err(|error| error.status);
                mapped.lock().unwrap().insert(format!("{page:?}"));
            });
        });
        assert!(app.map(0, PAGE, false).is_ok(), "nobody is in it any more");
    });
    let mapped: Vec<String> = mapped.into_inner().unwrap().into_iter().collect();
    assert_eq!(mapped, [format!("{:?}", Err::<(), _>(Status::BUSY)), "Ok(())".to_owned()]);
}

/// The message that sleeps, inline.
fn nap(ms: u64) -> kp_abi::ring::Submission {
    use kp_abi::zerocopy::FromZeros;
    kp_abi::ring::Submission {
        message: 6,
        flags: kp_abi::ring::INLINE,
        args_len: 4,
        inline: [ms, 0, 0, 0],
        ..kp_abi::ring::Submission::new_zeroed()
    }
}
