//! A device that sleeps, where apps are not frozen first: what becomes of calls and waits under way, and of what comes meanwhile. One code
//! for the simulator and for the real Windows driver in the loader, over the plugin that makes trouble.
use crate::{
    interrupts::until,
    transcript::{Transcript, answer, outcome},
};
use kp_user::{Enable, Plugin};
use std::{thread, time::Duration};
use trouble_interface::trouble;

/// A host with one device, whose power it can take.
pub trait Sleeper: Sync {
    /// Opens it.
    fn connect(&self) -> Plugin;
    /// Takes the device's power; returns when it is gone.
    fn sleep(&self);
    /// Gives it back; returns when the device is at work.
    fn wake(&self);
    /// Pulls the device out.
    fn pull_out(&self);
    /// The plugin's lines in the kernel's log so far, each without the plugin's name.
    fn log(&self) -> Vec<String>;
}

/// The transcript that every such host gives.
pub const SNAPSHOT: &str = include_str!("../asleep.txt");

/// How long something may take to come about: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than calls have.
const MINUTE_MS: u32 = 60_000;

/// Until so many calls of this session's are in the driver.
fn until_inside(plugin: &Plugin, calls: u32) {
    until("the calls are in the driver", || plugin.query().is_ok_and(|query| query.calls == calls));
}

fn is_asleep(plugin: &Plugin) -> bool {
    plugin.query().is_ok_and(|query| query.state == kp_abi::request::state::SUSPENDED)
}

/// A case, or several, for a host of its own: kernels leave log lines out that come one after another.
pub type Case = fn(&dyn Sleeper, &mut Transcript);

/// All of them. After the last one the device is gone.
pub const CASES: [Case; 3] =
    [one_after_another, calls_and_sleeps_without_end, a_device_that_is_pulled_out_asleep_is_left_alone];

fn one_after_another(host: &dyn Sleeper, t: &mut Transcript) {
    t.part("asleep");
    a_call_that_works_ends_before_the_device_sleeps(host, t);
    a_call_that_lasts_too_long_is_ended(host, t);
    what_comes_meanwhile_waits_or_is_told(host, t);
    a_wait_stays(host, t);
    a_session_that_closes_leaves_the_device_alone(host, t);
}

/// What the plugin has heard of and done since the log had `from` lines.
fn heard(host: &dyn Sleeper, from: usize) -> String {
    let mut lines = host.log().split_off(from);
    lines.retain(|line| line.starts_with("event: ") || line == "toiled");
    lines.join(", ")
}

fn a_call_that_works_ends_before_the_device_sleeps(host: &dyn Sleeper, t: &mut Transcript) {
    let plugin = host.connect();
    let before = host.log().len();
    let toiled = thread::scope(|scope| {
        let call = scope.spawn(|| trouble::Client(&plugin).toil(300));
        until_inside(&plugin, 1);
        host.sleep();
        call.join().expect("the caller does not panic")
    });
    t.step("a call that works with the device as it goes to sleep", outcome(&toiled), "Ok");
    t.step("the plugin", heard(host, before), "toiled, event: Suspend");
    host.wake();
    t.step("the plugin", heard(host, before), "toiled, event: Suspend, event: Resume");
}

fn a_call_that_lasts_too_long_is_ended(host: &dyn Sleeper, t: &mut Transcript) {
    let (plugin, other) = (host.connect(), host.connect());
    let before = host.log().len();
    let [napped, held] = thread::scope(|scope| {
        let nap = scope.spawn(|| trouble::Client(&plugin).nap(MINUTE_MS));
        until_inside(&plugin, 1);
        let hold = scope.spawn(|| trouble::Client(&other).hold(MINUTE_MS));
        until_inside(&other, 1);
        host.sleep();
        [nap, hold].map(|call| call.join().expect("the caller does not panic"))
    });
    t.step("a call that sleeps for a minute", outcome(&napped), "Suspended");
    t.step("a call that sleeps so with a lock", outcome(&held), "Suspended");
    t.step("the plugin", heard(host, before), "event: Suspend");
    host.wake();
    t.step("a short one of the same session, afterwards", outcome(&trouble::Client(&plugin).nap(1)), "Ok");
    t.step("the lock is free", outcome(&trouble::Client(&plugin).hold(1)), "Ok");
}

fn what_comes_meanwhile_waits_or_is_told(host: &dyn Sleeper, t: &mut Transcript) {
    let plugin = host.connect();
    host.sleep();
    t.step("a call that does not wait", outcome(&trouble::Client(&plugin.nowait()).invert(7)), "Suspended");
    thread::scope(|scope| {
        let call = scope.spawn(|| trouble::Client(&plugin).invert(7));
        let enable = scope.spawn(|| plugin.interrupts(Enable::line()).map(drop));
        let open = scope.spawn(|| trouble::Client(&host.connect()).ping());
        thread::sleep(Duration::from_millis(100));
        let waiting = [call.is_finished(), enable.is_finished(), open.is_finished()];
        t.step("a call, an enabling and an open are over", format!("{waiting:?}"), "[false, false, false]");
        host.wake();
        let inverse = call.join().expect("the caller does not panic");
        t.step("the call, once the device is awake", answer(inverse.map(|word| !word)), "Ok 7");
        t.step("the enabling", outcome(&enable.join().expect("it does not panic")), "Ok");
        t.step("the open", outcome(&open.join().expect("it does not panic")), "Ok");
    });
}

fn a_wait_stays(host: &dyn Sleeper, t: &mut Transcript) {
    let plugin = host.connect();
    let interrupts = plugin.interrupts(Enable::line()).expect("the interrupt is enabled");
    let notified = thread::scope(|scope| {
        let wait = scope.spawn(|| interrupts.wait(PATIENCE));
        until("the wait is pending", || plugin.query().is_ok_and(|query| query.waits == 1));
        host.sleep();
        t.step("a wait is pending while the device sleeps", u32::from(!wait.is_finished()), "1");
        host.wake();
        trouble::Client(&plugin).raise(1).expect("the device is awake");
        wait.join().expect("it does not panic")
    });
    t.step("and gets what comes afterwards", answer(notified.map(|n| n.got)), "Ok 1");
}

fn a_session_that_closes_leaves_the_device_alone(host: &dyn Sleeper, t: &mut Transcript) {
    let watcher = host.connect();
    let disarms = || trouble::Client(&watcher).disarms().expect("the device is awake");
    let plugin = host.connect();
    let interrupts = plugin.interrupts(Enable::line()).expect("the interrupt is enabled");
    let before = disarms();
    host.sleep();
    t.step("the device sleeps", u32::from(is_asleep(&watcher)), "1");
    plugin.connection().close().expect("it closes");
    drop((interrupts, plugin)); // there is nothing left to disable, which would wait
    host.wake();
    t.step("times that int_disarm ran for a session closed meanwhile", disarms() - before, "0");
    let again = host.connect();
    let enabled = again.interrupts(Enable::line());
    t.step("the next one enables the interrupt", outcome(&enabled), "Ok");
    drop((enabled, again));
    t.step("and disarms it", disarms() - before, "1");
}

/// Calls, enablings and closes while the device goes to sleep and wakes again and again.
///
/// # Panics
/// If one of them comes out wrong.
pub fn calls_and_sleeps_without_end(host: &dyn Sleeper, t: &mut Transcript) {
    const ROUNDS: u32 = 40;
    let plugins = [host.connect(), host.connect()];
    let stop = std::sync::atomic::AtomicBool::new(false);
    let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
    let right = thread::scope(|scope| {
        let callers = plugins.each_ref().map(|plugin| {
            scope.spawn(move || {
                let client = trouble::Client(plugin);
                let mut right = true;
                while !stopped() {
                    right &= client.invert(5) == Ok(!5) && client.toil(1) == Ok(());
                }
                right
            })
        });
        let closer = scope.spawn(|| {
            while !stopped() {
                let plugin = host.connect();
                drop(plugin.interrupts(Enable::line()));
            }
            true
        });
        for round in 0..ROUNDS {
            thread::sleep(Duration::from_micros(u64::from(300 + round * 97 % 2000)));
            host.sleep();
            thread::sleep(Duration::from_millis(2));
            host.wake();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let [a, b] = callers.map(|caller| caller.join().expect("the caller does not panic"));
        a && b && closer.join().expect("it does not panic")
    });
    t.step("calls, enablings and closes through many sleeps came out right", right, "true");
}

fn a_device_that_is_pulled_out_asleep_is_left_alone(host: &dyn Sleeper, t: &mut Transcript) {
    let plugin = host.connect();
    let interrupts = plugin.interrupts(Enable::line()).expect("the interrupt is enabled");
    let before = host.log().len();
    host.sleep();
    let held = thread::scope(|scope| {
        let call = scope.spawn(|| trouble::Client(&plugin).invert(7));
        thread::sleep(Duration::from_millis(20));
        host.pull_out();
        call.join().expect("the caller does not panic")
    });
    t.step("a call that waits, as the device is pulled out", outcome(&held), "DeviceGone");
    t.step("the plugin", heard(host, before), "event: Suspend, event: Removing");
    drop((interrupts, plugin));
}
