//! The machine goes to sleep and wakes, as far as its devices notice, with a wait pending, calls and a batch under way. Nothing is lost.
use super::{Loaded, open};
use crate::{interrupts::until, registry::guest_test};
use kp_abi::{
    Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
    ring::{INLINE, Submission},
    zerocopy::FromZeros,
};
use kp_user::{Plugin, Ring};
use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};
use trouble_interface::{Happened, trouble};

/// With a wait pending, calls and a batch under way; once for each kind of interrupt.
#[guest_test("planted suspend", stage = "planted")]
fn a_machine_that_sleeps_and_wakes_loses_nothing() {
    let loaded = Loaded::new();
    for (at, (name, kinds)) in (1..).zip([("line", kind::LINE), ("MSI", kind::MSI)]) {
        println!("{name}");
        around_a_sleep(kinds, at);
    }
    println!("a batch");
    frozen_in_a_batch();
    println!("a lock");
    frozen_around_a_lock();
    drop(loaded);
}

/// As far as each level of the kernel's own test of sleeping goes, from its processes on to its second processor; with each kind of interrupt.
#[guest_test("planted levels", stage = "machine")]
fn a_machine_sleeps_as_far_as_its_kernel_lets_it_be_tried() {
    let loaded = Loaded::new();
    let levels = fs::read_to_string("/sys/power/pm_test").expect("this kernel can be tried");
    let is_deep = fs::read_to_string("/sys/power/mem_sleep").is_ok_and(|states| states.contains("deep"));
    // The first in the list, with brackets around it, is to sleep.
    for level in levels.split_whitespace().filter(|level| !level.contains("none")) {
        if !is_deep && ["processors", "core"].contains(&level) {
            println!("{level}: not of a sleep that leaves the processors on");
            continue;
        }
        for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
            println!("{level}, {name}");
            let plugin = open(&[]);
            plugin.connection().int_enable(kinds, 1, 1, &[]).expect("an interrupt can be enabled");
            one_interrupt(&plugin);
            thread::scope(|scope| {
                let wait = scope.spawn(|| plugin.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
                until("the wait is pending", || waits(&plugin) == 1);
                sleep_as_far_as(level);
                trouble::Client(&plugin).raise(1).expect("the device can be told to interrupt");
                let waited = wait.join().expect("the waiter does not panic");
                assert_eq!(waited.map(|notification| notification.got), Ok(1), "{level}, {name}");
            });
            let (_, counters) = plugin.connection().int_disable().expect("the interrupt can be disabled");
            assert_eq!((counters.received, counters.delivered, counters.lost), (2, 2, 0), "{counters:?}");
        }
    }
    write("/sys/power/pm_test", "none");
    drop(loaded);
}

/// `nth`: how many sleeps there are then since the module was loaded.
fn around_a_sleep(kinds: u32, nth: u32) {
    let (owner, napper, caller) = (open(&[]), open(&[]), open(&[]));
    let (calls, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let got = owner.connection().int_enable(kinds, 1, 1, &[]).expect("an interrupt can be enabled");
    assert_eq!(got.kind, kinds);
    one_interrupt(&owner);
    thread::scope(|scope| {
        let wait = scope.spawn(|| owner.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
        let nap = scope.spawn(|| trouble::Client(&napper).nap(1_000));
        let caller = scope.spawn(|| call_until(&caller, &calls, &over));
        until("the wait is pending", || waits(&owner) == 1);
        until("calls go through", || calls.load(Relaxed) > 100);

        sleep_and_wake();

        let before = calls.load(Relaxed);
        until("calls go through again", || calls.load(Relaxed) > before + 100);
        assert_eq!(waits(&owner), 1, "the wait is pending still");
        let happened = trouble::Client(&owner).happened();
        assert_eq!(happened, Ok(Happened { suspends: nth, resumes: nth }));
        assert_eq!(trouble::Client(&owner).invert(0x1234_5678), Ok(!0x1234_5678), "the registers work");

        trouble::Client(&owner).raise(1).expect("the device can be told to interrupt");
        let waited = wait.join().expect("the waiter does not panic");
        assert_eq!(waited.map(|notification| notification.got), Ok(1), "the wait ends by an interrupt");
        assert_eq!(nap.join().expect("the napper does not panic"), Ok(()), "the freezer lets a nap end");
        over.store(true, Relaxed);
        caller.join().expect("every call was answered Ok");
    });
    one_interrupt(&owner);
    let (_, counters) = owner.connection().int_disable().expect("the interrupt can be disabled");
    assert_eq!((counters.received, counters.delivered, counters.lost), (3, 3, 0), "{counters:?}");
}

/// A batch of messages that never sleep is frozen between two of them, however long all of them take.
fn frozen_in_a_batch() {
    let plugin = open(&[]);
    let mut ring = Ring::set_up(plugin.connection(), 512, 0).expect("the driver has rings");
    let spin = Submission { message: 9, flags: INLINE, args_len: 4, inline: [20, 0, 0, 0], ..Submission::new_zeroed() };
    {
        let mut queues = ring.queues();
        (0..512).for_each(|_| assert!(queues.push(&spin)));
        queues.publish();
    }
    thread::scope(|scope| {
        let batch = scope.spawn(|| ring.enter());
        until("the batch runs", || calls_inside(&plugin) == 1);
        write("/sys/power/pm_freeze_timeout", "2000"); // the batch takes ten seconds
        freeze_and_thaw();
        write("/sys/power/pm_freeze_timeout", "20000");
        until("the batch goes on", || calls_inside(&plugin) == 1);
        assert_eq!(plugin.connection().close(), Ok(()));
        let (taken, end) = batch.join().expect("the batch does not panic");
        assert!((1..512).contains(&taken), "{taken} messages ran");
        assert_eq!(end, Err(Status::CLOSED.into()), "CLOSE ended the batch");
    });
}

/// Two apps of which one sleeps with a lock of the plugin's held, and the other one waits for it: both come out, and freeze.
fn frozen_around_a_lock() {
    let over = &AtomicBool::new(false);
    let holders = [open(&[]), open(&[])];
    thread::scope(|scope| {
        for holder in &holders {
            scope.spawn(move || {
                let mut calls = 0..500; // should the freezing fail
                while !over.load(Relaxed) && calls.next().is_some() {
                    assert_eq!(trouble::Client(holder).hold(20), Ok(()), "a call around a sleep");
                }
            });
        }
        until("both are in the plugin", || holders.iter().all(|holder| calls_inside(holder) == 1));
        write("/sys/power/pm_freeze_timeout", "2000");
        freeze_and_thaw();
        write("/sys/power/pm_freeze_timeout", "20000");
        over.store(true, Relaxed);
    });
}

fn call_until(plugin: &Plugin, calls: &AtomicU64, over: &AtomicBool) {
    while !over.load(Relaxed) {
        assert_eq!(trouble::Client(plugin).ping(), Ok(()), "a call around a sleep");
        calls.fetch_add(1, Relaxed);
    }
}

fn one_interrupt(plugin: &Plugin) {
    trouble::Client(plugin).raise(1).expect("the device can be told to interrupt");
    let waited = plugin.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1);
    assert_eq!(waited.map(|notification| notification.got), Ok(1));
}

fn waits(plugin: &Plugin) -> u32 {
    plugin.query().expect("QUERY works always").waits
}

fn calls_inside(plugin: &Plugin) -> u32 {
    plugin.query().expect("QUERY works always").calls
}

/// Suspends the devices, not the machine, for a second; returns when all is awake again. An error of the kernel's is that it
/// could not: a process that would not freeze, a device that would not sleep.
pub fn sleep_and_wake() {
    sleep_as_far_as("devices");
}

/// The same, of the processes alone.
fn freeze_and_thaw() {
    sleep_as_far_as("freezer");
}

/// Has the machine sleep as far as this level of `pm_test`, for a second.
pub fn sleep_as_far_as(level: &str) {
    write("/sys/module/suspend/parameters/pm_test_delay", "1");
    write("/sys/power/pm_test", level);
    let states = fs::read_to_string("/sys/power/state").expect("this kernel can sleep");
    let state = if states.split_whitespace().any(|state| state == "mem") { "mem" } else { "freeze" };
    println!("  {state}, of: {}", states.trim_end());
    write("/sys/power/state", state);
}

fn write(path: &str, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
}
