//! Timers, work items and wait queues in a guest: they run, they end with the device, and nothing of them is left.
use super::{Guest, dies, load, stress::Watchdog, unload};
use crate::{
    Unload,
    interrupts::until,
    registry::{guest_test, helper},
};
use clockwork_interface::{Ran, clockwork};
use kp_abi::{Status, request::kind};
use kp_user::Plugin;
use std::{
    thread,
    time::{Duration, Instant},
};

const NAME: &str = "clockwork";
/// Longer than any test.
const LONG_MS: u32 = 600_000;

fn open() -> Plugin {
    Plugin::open_interface(NAME, clockwork::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn ran(plugin: &Plugin) -> Ran {
    clockwork::Client(plugin).ran().expect("the plugin answers")
}

/// They run at their times; a DPC wakes a call; the driver is taken from its device, and unloaded, while they run.
#[guest_test("clockwork", stage = "tear-down")]
fn timers_and_work_run_and_end_with_the_device() {
    let _watchdog = Watchdog::new("timers and work");
    let _ = Guest;
    load(NAME);
    let plugin = open();
    let client = clockwork::Client(&plugin);
    times(&plugin, 100);
    times(&plugin, 5000);

    client.start(1, 0, 300).unwrap();
    until("work is queued by a timer", || ran(&plugin).work > 20);
    client.stop(1).unwrap();
    thread::sleep(Duration::from_millis(20));
    let stopped = ran(&plugin);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(ran(&plugin).queuing, stopped.queuing, "a timer that was stopped runs");

    plugin.connection().int_enable(kind::ANY, 1, 1, &[]).expect("an interrupt can be enabled");
    let mut woken: Vec<u32> = (0..50).map(|_| client.interrupted(5000).expect("the DPC wakes the call")).collect();
    woken.sort_unstable();
    println!("from a DPC's wake-up to the call: {} ns in the middle, {} at most", woken[25], woken[49]);
    plugin.connection().int_disable().expect("the interrupt can be disabled");
    assert_eq!(client.wait(20), Err(Status::TIMEOUT.into()));
    assert_eq!(ran(&plugin).wrong, 0, "runs of one timer or item overlapped");
    drop(plugin);
    assert_eq!(unload(NAME), Unload::Gone);
    for _ in 0..3 {
        removed();
    }
    println!("removed three times, with two timers, work asleep and a call that waits");
}

/// How late timer 0 runs, with this period.
fn times(plugin: &Plugin, period_us: u32) {
    let client = clockwork::Client(plugin);
    let before = ran(plugin).timer;
    client.start(0, period_us, period_us).unwrap();
    until("the timer has run", || ran(plugin).timer - before >= 100);
    client.stop(0).unwrap();
    let mut late = [0; 512];
    let late = client.late(&mut late).expect("there is room");
    let mut late: Vec<u32> = late.to_vec();
    late.sort_unstable();
    let part = |percent: usize| late[(late.len() - 1) * percent / 100] / 1000;
    println!(
        "a period of {period_us} us: late by {} us in the middle, {} of nine in ten, {} at most, of {}",
        part(50),
        part(90),
        part(100),
        late.len()
    );
}

/// The driver goes while a timer of a short period runs, one queues work, work sleeps, and a call waits.
fn removed() {
    load(NAME);
    let (plugin, waiter) = (open(), open());
    let client = clockwork::Client(&plugin);
    client.sleeps(LONG_MS).unwrap();
    client.start(0, 0, 100).unwrap();
    client.start(1, 0, 150).unwrap();
    until("work sleeps", || ran(&plugin).work > 0);
    let address = super::stress::address(&plugin);
    thread::scope(|scope| {
        let wait = scope.spawn(|| clockwork::Client(&waiter).wait(LONG_MS));
        until("the call waits", || waiter.connection().query(0).is_ok_and(|query| query.calls == 1));
        super::stress::sysfs(NAME, "unbind", &address);
        assert_eq!(wait.join().expect("the waiter does not panic"), Err(Status::DEVICE_GONE.into()));
    });
    drop((plugin, waiter));
    assert_eq!(unload(NAME), Unload::Gone);
}

/// How long the work is busy that a panic comes to.
const BUSY_MS: u32 = 4000;

/// A call panics while work is under way: the module goes when that work has ended, and not below it.
#[guest_test("clockwork-panic", stage = "planted")]
fn a_module_that_has_panicked_stays_until_its_work_has_ended() {
    let _watchdog = Watchdog::new("work in a plugin that panics");
    load(NAME);
    let plugin = open();
    let client = clockwork::Client(&plugin);
    client.busy(BUSY_MS).unwrap();
    let began = Instant::now();
    client.queue().unwrap();
    until("work is under way", || ran(&plugin).work > 0);
    dies(&["clockwork-panic-here"]);
    drop(plugin);
    assert_eq!(unload(NAME), Unload::Gone);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(BUSY_MS.into()), "the module has gone after {took:?}, below its work");
    load(NAME);
    assert_eq!(ran(&open()).wrong, 0, "the poison is gone with the module");
    assert_eq!(unload(NAME), Unload::Gone);
}

/// In a process of its own, which has one thread: panics.
#[helper("clockwork-panic-here")]
fn panic_here() {
    let told = clockwork::Client(&open()).panic();
    panic!("the driver lives, and answers {told:?}");
}

/// The machine's devices sleep and wake, with a timer, work and a wait under way: nothing runs in between, and all goes on.
#[guest_test("clockwork-asleep", stage = "planted")]
fn timers_and_work_are_held_back_while_the_devices_sleep() {
    let _watchdog = Watchdog::new("timers and work in a suspend");
    load(NAME);
    let plugin = open();
    let client = clockwork::Client(&plugin);
    client.start(0, 0, 1000).unwrap();
    client.start(1, 0, 2000).unwrap();
    until("work is done", || ran(&plugin).work > 5);
    // The freezer waits for work that is under way.
    client.sleeps(500).unwrap();
    let work = ran(&plugin).work;
    until("work sleeps", || ran(&plugin).work > work);
    super::planted::sleep_and_wake();
    let woken = ran(&plugin);
    assert_eq!((woken.suspends, woken.wrong), (1, 0), "{woken:?}");
    assert_eq!(woken.slept, Status::OK.0, "the work's sleep was over before the devices slept");
    until("timers and work go on", || {
        let now = ran(&plugin);
        now.timer > woken.timer + 5 && now.work > woken.work + 5
    });
    drop(plugin);
    assert_eq!(unload(NAME), Unload::Gone);
}
