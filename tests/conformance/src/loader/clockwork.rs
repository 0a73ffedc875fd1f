//! Timers, work items and wait queues in the real Windows driver: they run, are held back while the system sleeps, and end with the device.
use super::{device::Edu, resources::connect};
use crate::{interrupts::until, registry::guest_test};
use clockwork_interface::{Ran, clockwork};
use kp_abi::{Status, request::kind};
use kp_user::Plugin;
use std::{thread, time::Duration};
use windows_loader::Assigned;

const NODE: &str = r"\\.\kp-clockwork.0";
/// Longer than any test.
const LONG_MS: u32 = 600_000;

fn ran(plugin: &Plugin) -> Ran {
    clockwork::Client(plugin).ran().expect("the plugin answers")
}

fn open(loaded: &Edu) -> Plugin {
    connect(&loaded.process, NODE, clockwork::INTERFACE)
}

#[guest_test(stage = "loader")]
fn timers_and_work_run_and_a_dpc_wakes_a_call(drivers: &str) {
    let loaded = Edu::driven_by("clockwork", drivers, Assigned::Line);
    let plugin = open(&loaded);
    let client = clockwork::Client(&plugin);
    client.start(0, 2000, 1000).unwrap();
    client.start(1, 0, 1000).unwrap();
    until("timers run, and work is queued by one", || ran(&plugin).timer > 10 && ran(&plugin).work > 10);
    (0..2).for_each(|timer| client.stop(timer).unwrap());
    thread::sleep(Duration::from_millis(20));
    let stopped = ran(&plugin);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(ran(&plugin), stopped, "a timer that was stopped runs");
    assert_eq!(stopped.wrong, 0, "runs of one timer or item overlapped");

    plugin.connection().int_enable(kind::LINE, 1, 1, &[]).expect("an interrupt can be enabled");
    (0..20).for_each(|_| _ = client.interrupted(5000).expect("the DPC wakes the call"));
    plugin.connection().int_disable().expect("the interrupt can be disabled");
    assert_eq!(client.wait(20), Err(Status::TIMEOUT.into()));
    drop(plugin);
    loaded.finish();
}

/// With two timers, work that sleeps, and a call that waits: the device is removed, or pulled out.
#[guest_test(stage = "loader")]
fn a_device_goes_while_timers_and_work_run(drivers: &str) {
    for pulled_out in [false, true] {
        let loaded = Edu::driven_by("clockwork", drivers, Assigned::Line);
        let (plugin, waiter) = (open(&loaded), open(&loaded));
        let client = clockwork::Client(&plugin);
        client.sleeps(LONG_MS).unwrap();
        client.start(0, 0, 1000).unwrap();
        client.start(1, 0, 1500).unwrap();
        until("work sleeps", || ran(&plugin).work > 0);
        if !pulled_out {
            drop((plugin, waiter));
            loaded.finish();
            continue;
        }
        thread::scope(|scope| {
            let wait = scope.spawn(|| clockwork::Client(&waiter).wait(LONG_MS));
            until("the call waits", || waiter.query().is_ok_and(|query| query.calls == 1));
            loaded.device.surprise_removal();
            assert_eq!(wait.join().expect("the waiter does not panic"), Err(Status::DEVICE_GONE.into()));
        });
        drop((plugin, waiter));
        loaded.device.removed();
        loaded.unload();
    }
}

/// Nothing of them runs while the system sleeps; work that is under way is waited for.
#[guest_test(stage = "loader")]
fn timers_and_work_are_held_back_while_the_system_sleeps(drivers: &str) {
    let loaded = Edu::driven_by("clockwork", drivers, Assigned::Line);
    let plugin = open(&loaded);
    let client = clockwork::Client(&plugin);
    client.start(0, 0, 1000).unwrap();
    client.start(1, 0, 1000).unwrap();
    until("work is done", || ran(&plugin).work > 5);
    client.sleeps(200).unwrap();
    let work = ran(&plugin).work;
    until("work sleeps", || ran(&plugin).work > work);
    let device = &loaded.device;
    device.set_system_power(false).unwrap_or_else(|status| panic!("sleep: {status:#x}"));
    thread::sleep(Duration::from_millis(30));
    device.set_system_power(true).unwrap_or_else(|status| panic!("wake: {status:#x}"));
    until("timers and work go on", || ran(&plugin).work > work + 10);
    let ran = ran(&plugin);
    assert_eq!((ran.suspends, ran.wrong, ran.slept), (1, 0, Status::OK.0), "{ran:?}");
    drop(plugin);
    loaded.finish();
}
