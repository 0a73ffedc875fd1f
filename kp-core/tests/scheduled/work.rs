//! When a work item runs.
use crate::{
    MS,
    clockwork::{Clockwork, LET_GO, messages},
    every_order, pass,
};
use kp_abi::Status;
use kp_sim::Sim;
use std::{
    collections::BTreeSet,
    sync::{Mutex, atomic::Ordering::Release},
    time::Duration,
};

/// Many threads queue: nothing that was asked is missed, and no run overlaps another.
#[test]
fn what_is_queued_runs_after_it_was_queued_and_once_for_all_that_wait() {
    every_order(150, |world, _, plugin| {
        let client = messages::Client(plugin);
        world.scope(|scope| {
            for name in ["one", "two"] {
                scope.spawn(name, || {
                    for _ in 0..4 {
                        let runs = client.item_runs(0).unwrap();
                        client.queue(0, 3).unwrap();
                        client.wait_for(runs + 1).unwrap();
                    }
                });
            }
        });
        let runs = client.item_runs(0).unwrap();
        assert!((4..=24).contains(&runs), "{runs} runs");
    });
}

#[test]
fn an_item_that_is_queued_twice_before_it_runs_runs_once() {
    let runs = Mutex::new(BTreeSet::new());
    every_order(60, |_, sim, plugin| {
        let client = messages::Client(plugin);
        client.queue(0, 2).unwrap();
        client.wait_for(1).unwrap();
        pass(sim, 5000);
        runs.lock().unwrap().insert(client.item_runs(0).unwrap());
    });
    // Once, or once more if it had begun by the second time.
    assert_eq!(runs.into_inner().unwrap(), BTreeSet::from([1, 2]));
}

/// It sleeps for longer than any app has patience; the device goes, or has to sleep.
#[test]
fn the_sleep_of_work_ends_when_the_device_goes_or_has_to_sleep() {
    every_order(80, |world, sim, plugin| {
        let client = messages::Client(plugin);
        client.sleeps(1_000_000).unwrap();
        client.queue(0, 1).unwrap();
        client.wait_for(1).unwrap();
        world.scope(|scope| scope.spawn("remover", || sim.remove(true)));
        assert!(sim.now_ns() < 100 * MS, "it took {} ns", sim.now_ns());
        assert!(sim.log().contains(&"work's sleep: Closed".to_owned()), "{:?}", sim.log());
    });
    every_order(80, |_, sim, plugin| {
        let client = messages::Client(plugin);
        client.sleeps(1_000_000).unwrap();
        client.queue(0, 1).unwrap();
        client.wait_for(1).unwrap();
        sim.suspend_within(Duration::from_millis(1));
        sim.resume();
        assert_eq!(client.slept(), Ok(Status::SUSPENDED.0));
        // And after that it lasts again.
        client.sleeps(20).unwrap();
        let began = sim.now_ns();
        client.queue(0, 1).unwrap();
        while client.slept() != Ok(Status::OK.0) {
            pass(sim, 1000);
        }
        assert!(sim.now_ns() - began >= 20 * MS);
    });
}

/// A session's `close` may wait for work: it is there until the sessions are gone.
#[test]
fn work_runs_until_the_last_session_has_closed() {
    every_order(60, |world, sim, plugin| {
        world.scope(|scope| {
            scope.spawn("remover", || sim.remove(true));
            scope.spawn("app", || _ = messages::Client(plugin).queue(0, 1));
        });
    });
}

/// Real threads, real time: what a plugin's own tests have.
#[test]
fn real_threads_run_work_and_timers() {
    let sim = Sim::<Clockwork>::new().unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let client = messages::Client(&plugin);
    client.start(1, 100, 1000).unwrap();
    client.wait_for(5).unwrap();
    client.stop(1).unwrap();
    assert_eq!(client.wrong(), Ok(0));
    drop(plugin);
    assert_eq!(sim.unload(), Ok(()));
}

/// After a panic nobody waits for good: what runs still keeps its plugin.
#[test]
fn a_poisoned_device_whose_work_does_not_end_is_leaked() {
    let sim = Sim::<Clockwork>::new().unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let client = messages::Client(&plugin);
    client.hold().unwrap();
    client.queue(0, 1).unwrap();
    client.wait_for(1).unwrap();
    assert_eq!(client.panic(), Err(Status::POISONED.into()));
    drop(plugin);
    sim.remove(true);
    assert_eq!(sim.unload(), Ok(()));
    let log = sim.log();
    assert!(log.iter().any(|line| line.starts_with("clockwork is leaked")), "{log:?}");
    assert!(!log.contains(&"the plugin is dropped".to_owned()), "it is dropped below its work: {log:?}");
    LET_GO.store(true, Release);
}
