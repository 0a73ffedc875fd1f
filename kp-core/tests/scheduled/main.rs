//! Timers and work items: when they run, that their runs never overlap, and that none is left when the device goes.
mod clockwork;
mod kept;
mod timers;
mod work;

use clockwork::{Clockwork, messages};
use kp_abi::{Error, Status};
use kp_sim::{Mode, Process, Sim, World, every_failure, explore};
use kp_user::Plugin;
use std::sync::Arc;

/// Runs `story` in kernels of its own, in many orders. Each ends with the plugin's own count of what must not be.
fn every_order(seeds: u64, story: impl Fn(&World, &Sim<Clockwork>, &Plugin) + Sync) {
    explore(0..seeds, |world| {
        let sim = Sim::<Clockwork>::new().unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        story(world, &sim, &plugin);
        if let Ok(wrong) = messages::Client(&plugin).wrong() {
            assert_eq!(wrong, 0, "runs overlapped, or came while nothing may run");
        }
        drop(plugin);
        assert!(sim.log().iter().all(|line| !line.starts_with("close waits")), "{:?}", sim.log());
        assert_eq!(sim.unload(), Ok(()));
    });
}

const MS: u64 = 1_000_000;

/// Time passes, and whatever is due runs.
fn pass<P: kp_core::Plugin>(sim: &Sim<P>, us: u32) {
    sim.enter(|cx| cx.sleep_us(us).unwrap());
}

/// What `init` starts and queues runs once, and not before the plugin's value is in its place.
#[test]
fn what_init_starts_runs_when_the_plugin_is_there() {
    every_order(100, |_, sim, plugin| {
        pass(sim, 2000);
        let client = messages::Client(plugin);
        assert_eq!(client.timer_runs(2), Ok(1));
        assert_eq!(client.item_runs(1), Ok(1));
    });
}

/// A removal, and the end of the session before it, race timers and work that queue each other.
#[test]
fn a_device_goes_while_timers_and_work_run() {
    for present in [true, false] {
        every_order(150, |world, sim, plugin| {
            let client = messages::Client(plugin);
            client.start(0, 3, 70).unwrap();
            client.start(1, 5, 110).unwrap();
            client.sleeps(1_000_000).unwrap();
            world.scope(|scope| {
                scope.spawn("app", || (0..5).for_each(|_| _ = client.queue(0, 1).and(client.start(1, 1, 30))));
                scope.spawn("remover", || {
                    pass(sim, 100);
                    sim.remove(present);
                });
            });
            assert!(sim.now_ns() < 100 * MS, "it took {} ns", sim.now_ns());
            let live = sim.live();
            assert_eq!((live.timers, live.work_items), (0, 0));
        });
    }
}

/// Nothing of them runs from the begin of a pause to its end; what was due in it runs then.
#[test]
fn a_pause_holds_back_what_is_due_and_it_runs_afterwards() {
    for is_reset in [false, true] {
        every_order(100, |world, sim, plugin| {
            let client = messages::Client(plugin);
            client.start(0, 20, 50).unwrap();
            world.scope(|scope| {
                scope.spawn("app", || {
                    (0..3).for_each(|_| client.queue(0, 1).unwrap());
                    client.start(1, 1, 0).unwrap();
                });
                scope.spawn("system", || {
                    if is_reset {
                        sim.reset();
                        return;
                    }
                    sim.suspend();
                    pass(sim, 1000);
                    sim.resume();
                });
            });
            let runs = client.timer_runs(0).unwrap();
            pass(sim, 1000);
            assert!(client.timer_runs(0).unwrap() > runs, "a period is over with the pause");
            assert_eq!(client.timer_runs(1), Ok(1), "the once was held back, and not forgotten");
            client.wait_for(1).unwrap();
        });
    }
}

/// What would run touches a plugin of which nobody knows what it is like.
#[test]
fn nothing_runs_once_the_plugin_has_panicked() {
    explore(0..60, |_| {
        let sim = Sim::<Clockwork>::new().unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let client = messages::Client(&plugin);
        pass(&sim, 1000);
        client.start(0, 1000, 1000).unwrap();
        client.start(1, 5000, 0).unwrap();
        assert_eq!(client.panic(), Err(Status::POISONED.into()));
        pass(&sim, 20_000);
        assert!(!sim.log().contains(&"a run that must not be".to_owned()), "{:?}", sim.log());
        drop(plugin);
        assert_eq!(sim.unload(), Ok(()));
    });
}

#[test]
fn every_failure_is_told_and_leaves_nothing() {
    let told = every_failure(Sim::<Clockwork>::builder, |sim| -> Result<(), Error> {
        let app = sim.open_in(&Process::new(1), Mode::ReadWrite)?;
        let over = Plugin::over(Arc::new(app), messages::INTERFACE, &[]);
        let plugin = over.map_err(|error| Error::from(error.status().unwrap_or(Status::PROTOCOL)))?;
        messages::Client(&plugin).start(1, 1, 0)?;
        messages::Client(&plugin).wait_for(1)
    });
    assert!(told.len() > 20 && told.iter().all(|error| *error == Some(Status::NO_MEMORY.into())), "{told:?}");
}
