//! When a timer runs.
use crate::{MS, clockwork::messages, every_order, pass};

#[test]
fn a_timer_runs_once_or_at_each_period_and_never_early() {
    every_order(40, |_, sim, plugin| {
        let client = messages::Client(plugin);
        let began = sim.now_ns();
        client.start(0, 3000, 0).unwrap();
        pass(sim, 2000);
        assert_eq!(client.timer_runs(0), Ok(0));
        pass(sim, 10_000);
        let at = client.timer_at(0).unwrap() - began;
        assert_eq!(client.timer_runs(0), Ok(1));
        assert!((3 * MS..6 * MS).contains(&at), "it ran after {at} ns");
        // Each period is counted from the last one's time, however late a run comes: 20 of them in 100 ms.
        client.start(0, 5000, 5000).unwrap();
        pass(sim, 102_000);
        let runs = client.timer_runs(0).unwrap() - 1;
        assert!((19..=21).contains(&runs), "{runs} runs");
    });
}

/// As after a sleep of the device's, of fifty periods.
#[test]
fn a_run_that_comes_late_by_periods_is_one_run() {
    every_order(40, |_, sim, plugin| {
        let client = messages::Client(plugin);
        client.start(0, 1000, 1000).unwrap();
        sim.suspend();
        pass(sim, 50_000);
        sim.resume();
        pass(sim, 500);
        assert_eq!(client.timer_runs(0), Ok(1));
        pass(sim, 10_000);
        let runs = client.timer_runs(0).unwrap();
        assert!((10..=12).contains(&runs), "{runs} runs");
    });
}

#[test]
fn a_timer_that_is_started_anew_forgets_what_it_was_started_for() {
    every_order(40, |_, sim, plugin| {
        let client = messages::Client(plugin);
        client.start(0, 1000, 1000).unwrap();
        client.start(0, 20_000, 0).unwrap();
        pass(sim, 10_000);
        assert_eq!(client.timer_runs(0), Ok(0));
        pass(sim, 30_000);
        assert_eq!(client.timer_runs(0), Ok(1));
    });
}

/// Starts of several threads and the timer's own periods: on kernels that run one timer twice at once too.
#[test]
fn runs_of_a_timer_never_overlap_and_none_begins_after_a_stop() {
    every_order(200, |world, sim, plugin| {
        let client = messages::Client(plugin);
        world.scope(|scope| {
            for name in ["starter", "other starter"] {
                scope.spawn(name, || (0..8).for_each(|_| client.start(0, 0, 40).unwrap()));
            }
            scope.spawn("time", || (0..10).for_each(|_| pass(sim, 10)));
        });
        assert!(client.timer_runs(0).unwrap() > 0);
        client.stop(0).unwrap();
        pass(sim, 100); // for one that has begun
        let runs = client.timer_runs(0);
        pass(sim, 5000);
        assert_eq!(client.timer_runs(0), runs);
    });
}

/// A stop that races the runs.
#[test]
fn a_stop_that_comes_as_the_timer_runs_is_the_last_word() {
    every_order(150, |world, sim, plugin| {
        let client = messages::Client(plugin);
        client.start(0, 10, 10).unwrap();
        world.scope(|scope| {
            scope.spawn("time", || (0..20).for_each(|_| sim.advance(5000)));
            scope.spawn("stopper", || {
                sim.advance(20_000);
                client.stop(0).unwrap();
                pass(sim, 100); // for one that has begun
                let runs = client.timer_runs(0);
                pass(sim, 1000);
                assert_eq!(client.timer_runs(0), runs);
            });
        });
    });
}
