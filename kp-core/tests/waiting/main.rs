//! `WaitQueue`: no wake-up is lost, and a wait ends when its session, its process, its device or its time does.
mod counter;

use counter::{Counter, messages};
use kp_abi::{Error, Status};
use kp_core::{Dispatch, Irql, SpinLock, WaitQueue};
use kp_sim::{Mode, Process, Sim, World, every_failure, explore};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

/// Longer than any story here.
const LONG_MS: u32 = 1_000_000;
/// Without a limit.
const NEVER_MS: u32 = u32::MAX;
/// A story that takes longer, in ns, has missed a wake-up: somebody came back only because time had passed.
const SHORT_NS: u64 = 50_000_000;

fn status<T>(answer: Result<T, Error>) -> &'static str {
    answer.err().map_or(Status::OK, |error| error.status).name()
}

/// One waits for a ticket, one gives it: as often as there are tickets, in every order.
#[test]
fn no_wake_up_is_lost() {
    explore(0..200, |world| {
        let sim = Sim::<Counter>::new().unwrap();
        let [takers, giver] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
        world.scope(|scope| {
            for name in ["taker", "other taker"] {
                scope.spawn(name, || (0..3).for_each(|_| assert_eq!(messages::Client(&takers).take(LONG_MS), Ok(()))));
            }
            scope.spawn("giver", || (0..6).for_each(|_| assert_eq!(messages::Client(&giver).give(1), Ok(()))));
        });
        assert!(sim.now_ns() < SHORT_NS, "it took {} ns", sim.now_ns());
    });
}

/// The story of one who waits, one who wakes, and one who ends it. What the waiter is told, over all orders.
fn every_order(end: impl Fn(&Sim<Counter>, &kp_user::Plugin) + Sync) -> BTreeSet<&'static str> {
    let answers = Mutex::new(BTreeSet::new());
    let turn = AtomicU32::new(0);
    explore(0..200, |world| {
        // Every other one without a limit.
        let ms = [LONG_MS, NEVER_MS][turn.fetch_add(1, Relaxed) as usize % 2];
        let sim = Sim::<Counter>::new().unwrap();
        let [taker, giver] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
        world.scope(|scope| {
            scope.spawn("taker", || {
                let answer = messages::Client(&taker).take(ms);
                answers.lock().unwrap().insert(status(answer));
            });
            scope.spawn("giver", || _ = messages::Client(&giver).give(0));
            scope.spawn("ender", || end(&sim, &taker));
        });
        assert!(sim.now_ns() < SHORT_NS, "it took {} ns", sim.now_ns());
    });
    answers.into_inner().unwrap()
}

#[test]
fn a_wait_ends_with_its_session_its_device_and_its_process() {
    let close = every_order(|_, taker| taker.connection().close().unwrap());
    assert_eq!(close, BTreeSet::from(["Closed"]));
    assert_eq!(every_order(|sim, _| sim.remove(true)), BTreeSet::from(["DeviceGone"]));
    assert_eq!(every_order(|sim, _| sim.remove(false)), BTreeSet::from(["DeviceGone"]));
}

/// Whichever session is torn down first.
#[test]
fn a_removal_ends_a_wait_that_holds_what_another_session_waits_for() {
    for first in [true, false] {
        explore(0..100, |world| {
            let sim = Sim::<Counter>::new().unwrap();
            let [one, two] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
            let (holder, other) = if first { (&one, &two) } else { (&two, &one) };
            world.scope(|scope| {
                scope.spawn("holder", || assert_eq!(status(messages::Client(holder).hold()), "DeviceGone"));
                scope.spawn("other", || _ = messages::Client(other).touch());
                scope.spawn("remover", || sim.remove(true));
            });
            assert!(sim.now_ns() < SHORT_NS);
        });
    }
}

#[test]
fn a_wait_ends_when_the_device_has_to_sleep_and_the_next_one_lasts() {
    let told = every_order(|sim, taker| {
        sim.suspend_within(Duration::from_millis(1));
        sim.resume();
        messages::Client(taker).give(1).unwrap(); // for one that came after the pause
    });
    assert_eq!(told, BTreeSet::from(["Ok", "Suspended"]));
}

#[test]
fn a_wait_ends_when_its_process_is_killed_and_when_the_plugin_panics() {
    explore(0..60, |world| {
        let sim = Sim::<Counter>::new().unwrap();
        let app = Arc::new(sim.open());
        let taker = kp_user::Plugin::over(app.clone(), messages::INTERFACE, &[]).unwrap();
        world.scope(|scope| {
            scope.spawn("taker", || assert_eq!(status(messages::Client(&taker).take(NEVER_MS)), "Interrupted"));
            scope.spawn("killer", || app.kill());
        });
        assert!(sim.now_ns() < SHORT_NS);
    });
    explore(0..60, |world| {
        let sim = Sim::<Counter>::new().unwrap();
        let [taker, other] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
        world.scope(|scope| {
            scope.spawn("taker", || assert_eq!(status(messages::Client(&taker).take(LONG_MS)), "Poisoned"));
            scope.spawn("panicker", || assert_eq!(status(messages::Client(&other).panic()), "Poisoned"));
        });
        assert!(sim.now_ns() < SHORT_NS);
    });
}

/// Runs `story` in a kernel of its own, in simulated time.
fn in_kernel(story: impl Fn(&World, &Sim<Counter>)) {
    explore(0..20, |world| story(world, &Sim::<Counter>::new().unwrap()));
}

#[test]
fn the_condition_is_asked_at_once_and_once_more_when_the_time_is_up() {
    in_kernel(|_, sim| {
        sim.enter(|cx| {
            let queue = WaitQueue::new(cx).unwrap();
            assert_eq!(queue.wait_until(cx, 0, |_| true), Ok(()));
            assert_eq!(queue.wait_until(cx, 0, |_| false), Err(Status::TIMEOUT.into()));
            let (began, mut asked) = (cx.now_ns(), 0);
            let answer = queue.wait_until(cx, 20, |_| {
                asked += 1;
                false
            });
            assert_eq!((answer, asked), (Err(Status::TIMEOUT.into()), 2));
            let took = cx.now_ns() - began;
            assert!((20_000_000..25_000_000).contains(&took), "{took} ns");
            // True only by the time that the wait is over: the answer is that, and not the time.
            let until = cx.now_ns() + 10_000_000;
            assert_eq!(queue.wait_until(cx, 10, |cx| cx.now_ns() >= until), Ok(()));
        });
    });
}

/// A kernel's coarse timer may end it early, as the simulator's does: the clock says when it is over.
#[test]
fn a_wait_is_not_over_before_its_time() {
    in_kernel(|_, sim| {
        sim.enter(|cx| {
            let queue = WaitQueue::new(cx).unwrap();
            let began = cx.now_ns();
            assert_eq!(queue.wait_until(cx, 1000, |_| false), Err(Status::TIMEOUT.into()));
            let took = cx.now_ns() - began;
            assert!((1_000_000_000..1_010_000_000).contains(&took), "{took} ns");
        });
    });
}

/// A wake-up for which the condition is not true yet lets the wait last as long as it was asked to.
#[test]
fn a_wake_up_for_nothing_costs_no_time_of_the_wait() {
    explore(0..60, |world| {
        let sim = Sim::<Counter>::new().unwrap();
        let [taker, giver] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
        world.scope(|scope| {
            scope.spawn("taker", || {
                let began = sim.now_ns();
                assert_eq!(messages::Client(&taker).take(20), Err(Status::TIMEOUT.into()));
                let took = sim.now_ns() - began;
                assert!((20_000_000..25_000_000).contains(&took), "{took} ns");
            });
            scope.spawn("giver", || (0..3).for_each(|_| assert_eq!(messages::Client(&giver).give(0), Ok(()))));
        });
    });
}

/// What lends it to plugin code that nobody ends: only the time ends its wait.
#[test]
fn nothing_ends_a_wait_in_close_but_its_condition_and_its_time() {
    explore(0..60, |world| {
        let sim = Sim::<Counter>::new().unwrap();
        let [one, giver] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
        messages::Client(&one).wait_in_close(30).unwrap();
        world.scope(|scope| {
            scope.spawn("closer", || one.connection().close().unwrap());
            scope.spawn("remover", || sim.remove(true));
            scope.spawn("giver", || _ = messages::Client(&giver).give(0));
        });
        assert!(sim.now_ns() >= 30_000_000, "close was over after {} ns", sim.now_ns());
        assert!(sim.log().contains(&"the wait in close: Timeout".to_owned()), "{:?}", sim.log());
    });
}

/// A wait without a limit, where nothing but a wake-up would end it: a panic does, for nobody may be left to wake it.
#[test]
fn a_panic_ends_a_wait_without_a_limit_in_close() {
    explore(0..60, |world| {
        let sim = Sim::<Counter>::new().unwrap();
        let [one, other] = [(); 2].map(|()| sim.connect(messages::INTERFACE).unwrap());
        messages::Client(&one).wait_in_close(NEVER_MS).unwrap();
        world.scope(|scope| {
            scope.spawn("closer", || _ = one.connection().close());
            scope.spawn("panicker", || assert_eq!(status(messages::Client(&other).panic()), "Poisoned"));
        });
        assert!(sim.now_ns() < SHORT_NS);
    });
}

/// A queue is woken with a spin lock held, and may be dropped wherever its owner is.
#[test]
fn a_queue_is_woken_at_dispatch_and_dropped_anywhere() {
    in_kernel(|_, sim| {
        sim.enter(|cx| {
            let [one, two] = [(); 2].map(|()| WaitQueue::new(cx).ok());
            let at_dispatch = SpinLock::<_, Dispatch>::new(cx, one).unwrap();
            let at_irql = SpinLock::<_, Irql>::new(cx, two).unwrap();
            at_dispatch.with(cx, |queue, cx| {
                queue.as_ref().unwrap().wake(cx);
                *queue = None;
            });
            at_irql.with(cx, |queue, _| *queue = None);
        });
    });
}

#[test]
fn every_failure_is_told_and_leaves_nothing() {
    let told = every_failure(Sim::<Counter>::builder, |sim| -> Result<(), Error> {
        let app = sim.open_in(&Process::new(1), Mode::ReadWrite)?;
        let over = kp_user::Plugin::over(Arc::new(app), messages::INTERFACE, &[]);
        let plugin = over.map_err(|error| Error::from(error.status().unwrap_or(Status::PROTOCOL)))?;
        messages::Client(&plugin).give(1)?;
        messages::Client(&plugin).take(1)
    });
    assert!(told.len() > 5 && told.iter().all(|error| *error == Some(Status::NO_MEMORY.into())), "{told:?}");
}

/// What a plugin's own test sees: real threads, real time.
#[test]
fn real_threads_wait_and_wake() {
    let sim = Sim::<Counter>::new().unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    std::thread::scope(|scope| {
        let takers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..50).try_for_each(|_| messages::Client(&plugin).take(LONG_MS)))).collect();
        (0..200).for_each(|_| messages::Client(&plugin).give(1).unwrap());
        takers.into_iter().for_each(|taker| assert_eq!(taker.join().unwrap(), Ok(())));
    });
}
