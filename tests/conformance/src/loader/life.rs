//! Drivers and devices that come and go, and clients that go, at any moment: nothing is left behind, by the machine's own count.
use super::{Client, Loader, open};
use crate::{Subject, Unload, World, interrupts::until, registry::guest_test, transcript::text};
use echo_interface::echo;
use edu_interface::edu;
use kp_abi::{
    Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_user::{Connection, ControlNode, Enable};
use std::{sync::Arc, thread};
use windows_loader::{Assigned, Token};

/// How long a call naps that something else ends.
const NAP_MS: u32 = 60_000;
/// The same of a wait.
const LONG_NS: u64 = 60_000_000_000;

/// Starts and stops both drivers as often, with a session in each round.
#[guest_test("loader rounds", stage = "loader", short = "200")]
fn rounds(times: u32, drivers: &str) {
    for round in 1..=times {
        let mut world = Loader::loaded(drivers);
        let plugin = world.connect(Subject::Echo);
        let client = echo::Client(&plugin);
        let said = format!("round {round}");
        client.say(said.as_bytes()).unwrap_or_else(|error| panic!("{said}: {error}"));
        assert_eq!(text(client.hear(&mut [0; 16])), format!("Ok \"{said}\""));
        drop(plugin);
        let plugin = world.connect(Subject::Edu);
        assert_eq!(edu::Client(&plugin).invert(round), Ok(!round), "{said}");
        drop(plugin);
        for subject in [Subject::Echo, Subject::Edu] {
            assert_eq!(world.unload(subject), Unload::Gone, "{said}");
        }
    }
}

/// A client of echo's that naps, in a process of its own.
fn napper(world: &Loader) -> Client {
    let process = world.get(Subject::Echo).machine.process(Token::Administrator);
    let node = Arc::new(ControlNode::over(open(&process, Subject::Echo)));
    node.open(&mut crate::raw_ioctl::open(echo::INTERFACE), &[]).unwrap_or_else(|error| panic!("open: {error}"));
    let waiter = thread::spawn({
        let node = node.clone();
        move || {
            let ended = node.call(5, 0, &NAP_MS.to_le_bytes(), &[], &mut []).map_err(|error| error.status);
            assert!(ended.is_err(), "a nap that lasts is cut short");
        }
    });
    until("the call naps", || node.query(0).is_ok_and(|query| query.calls == 1));
    Client { process, node, waiter }
}

/// A client dies while a call of it runs: the call's sleep ends, and the driver lets the session go.
#[guest_test(stage = "loader")]
fn a_client_killed_in_a_call_leaves_nothing(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Echo);
    let survivor = world.connect(Subject::Echo);
    for _ in 0..5 {
        let victim = napper(&world);
        assert_eq!(survivor.query().map(|query| query.sessions), Ok(2));
        victim.kill_now();
        assert_eq!(survivor.query().map(|query| query.sessions), Ok(1), "the session is over");
        echo::Client(&survivor).say(b"still here").unwrap_or_else(|error| panic!("the survivor: {error}"));
    }
    drop(survivor);
    assert_eq!(world.unload(Subject::Echo), Unload::Gone);
}

/// A client dies while it waits: its pended request is cancelled, and the interrupt is free.
#[guest_test(stage = "loader")]
fn a_client_killed_in_a_wait_frees_the_interrupt(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    for _ in 0..5 {
        world.client_that_waits(kind::ANY).kill();
        let next = world.connect(Subject::Edu);
        let enabled = next.connection().int_enable(kind::ANY, 1, 1, &[]);
        assert!(enabled.is_ok(), "the interrupt is free: {enabled:?}");
    }
    assert_eq!(world.unload(Subject::Edu), Unload::Gone);
}

/// The last handle is closed while a call of another thread runs: the call's sleep ends.
#[guest_test(stage = "loader")]
fn closing_the_last_handle_ends_the_call_of_another_thread(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Echo);
    let process = world.get(Subject::Echo).process.clone();
    let handle = Arc::new(open(&process, Subject::Echo));
    let node = ControlNode::over(handle.clone());
    node.open(&mut crate::raw_ioctl::open(echo::INTERFACE), &[]).unwrap_or_else(|error| panic!("open: {error}"));
    thread::scope(|scope| {
        let nap = scope.spawn(|| node.call(5, 0, &NAP_MS.to_le_bytes(), &[], &mut []).map_err(|error| error.status));
        until("the call naps", || node.query(0).is_ok_and(|query| query.calls == 1));
        handle.close_under_way();
        let ended = nap.join().expect("the caller does not panic");
        assert_eq!(ended, Err(Status::CLOSED), "a nap that the close has cut short");
    });
    drop((node, handle));
    assert_eq!(world.unload(Subject::Echo), Unload::Gone);
}

/// A client, or its interrupt, is dropped while another thread waits: the wait ends, and the handle is closed when nobody has it any more.
#[guest_test(stage = "loader")]
fn dropping_a_client_ends_the_wait_of_another_thread(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    let handles = |world: &Loader| world.get(Subject::Edu).device.as_ref().expect("edu has a device").open_handles();
    for drop_plugin_first in [true, false] {
        let plugin = world.connect(Subject::Edu);
        let connection = plugin.connection().clone();
        let interrupts = plugin.interrupts(Enable::any()).unwrap_or_else(|error| panic!("enable: {error}"));
        let ended = thread::scope(|scope| {
            let wait = scope.spawn(|| connection.int_wait(LONG_NS, ANY_VECTOR, 1).map_err(|error| error.status));
            until("the wait is pending", || connection.query(0).is_ok_and(|query| query.waits == 1));
            if drop_plugin_first {
                drop(plugin);
                let ended = wait.join().expect("the waiter does not panic");
                drop(interrupts);
                ended
            } else {
                drop(interrupts);
                let ended = wait.join().expect("the waiter does not panic");
                drop(plugin);
                ended
            }
        });
        let want = if drop_plugin_first { Status::CLOSED } else { Status::INT_DISABLED };
        assert_eq!(ended, Err(want));
        assert_eq!(handles(&world), 1, "a thread still has the connection");
        drop(connection);
        assert_eq!(handles(&world), 0, "nobody has it");
    }
    assert_eq!(world.unload(Subject::Edu), Unload::Gone);
}

/// The device is pulled out while a wait is pending and calls are made.
#[guest_test(stage = "loader")]
fn a_surprise_removal_ends_calls_and_waits(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    let plugin = world.connect(Subject::Edu);
    let connection = plugin.connection().clone();
    connection.int_enable(kind::ANY, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
    let loaded = world.get(Subject::Edu);
    let device = loaded.device.as_ref().expect("edu has a device");
    thread::scope(|scope| {
        let wait = scope.spawn(|| connection.int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
        let calls = scope.spawn(|| {
            let client = edu::Client(&plugin);
            // All ones come from a device that is gone; the last call is one that the session refuses.
            loop {
                if let Err(error) = client.invert(1) {
                    return error.status;
                }
            }
        });
        until("the wait is pending", || plugin.query().is_ok_and(|query| query.waits == 1));
        device.surprise_removal();
        let ended = wait.join().expect("the waiter does not panic").map_err(|error| error.status);
        assert_eq!(ended, Err(Status::DEVICE_GONE), "the wait");
        assert_eq!(calls.join().expect("the caller does not panic"), Status::DEVICE_GONE, "the calls");
    });
    assert!(
        loaded.process.open(super::path(Subject::Edu), 3, windows_loader::Mode::Overlapped).is_err(),
        "nobody opens it"
    );
    assert_eq!(plugin.query().map(|query| query.state), Ok(kp_abi::request::state::GONE), "the handle knows");
    drop(connection);
    drop(plugin);
    device.removed();
    loaded.driver.stop().unwrap_or_else(|status| panic!("stop: {status:#x}"));
    loaded.driver.wait_until_unloaded();
    world.end(Subject::Edu);
}

/// Neither a stop nor a removal is let through while a handle is open, and the device goes on.
#[guest_test(stage = "loader")]
fn no_stop_and_no_removal_while_a_handle_is_open(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    let plugin = world.connect(Subject::Edu);
    let device = world.get(Subject::Edu).device.as_ref().expect("edu has a device");
    assert!(device.stop().is_err(), "a stop under an open handle");
    assert!(device.remove().is_err(), "a removal under an open handle");
    assert_eq!(edu::Client(&plugin).invert(1), Ok(!1), "the device goes on");
    drop(plugin);
    device.stop().unwrap_or_else(|status| panic!("stop: {status:#x}"));
    device.start(Assigned::Messages(1)).unwrap_or_else(|status| panic!("start again: {status:#x}"));
    assert_eq!(world.unload(Subject::Edu), Unload::Gone);
}

/// The system sleeps and wakes.
#[guest_test(stage = "loader")]
fn a_call_is_refused_while_the_machine_sleeps(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    let plugin = world.connect(Subject::Edu);
    let device = world.get(Subject::Edu).device.as_ref().expect("edu has a device");
    for _ in 0..3 {
        device.set_system_power(false).unwrap_or_else(|status| panic!("sleep: {status:#x}"));
        let refused = edu::Client(&plugin.nowait()).invert(1).map_err(|error| error.status);
        assert_eq!(refused, Err(Status::SUSPENDED), "a call while the device sleeps");
        device.set_system_power(true).unwrap_or_else(|status| panic!("wake: {status:#x}"));
        assert_eq!(edu::Client(&plugin).invert(1), Ok(!1), "a call afterwards");
    }
    drop(plugin);
    assert_eq!(world.unload(Subject::Edu), Unload::Gone);
}

/// Interrupts that come while no DPC runs are one DPC, which knows how many they were.
#[guest_test(stage = "loader")]
fn interrupts_before_one_dpc_are_counted(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    for kinds in [kind::LINE, kind::MSI] {
        world.assign(kinds);
        let plugin = world.connect(Subject::Edu);
        let connection = plugin.connection();
        edu::Client(&plugin).defer_every(1).unwrap_or_else(|error| panic!("defer: {error}"));
        connection.int_enable(kinds, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
        let counters = || connection.int_count(ANY_VECTOR).expect("an enabled interrupt has counters").1;
        let machine = &world.get(Subject::Edu).machine;
        machine.withhold_dpcs(true);
        for n in 1..=5 {
            edu::Client(&plugin).raise(1).unwrap_or_else(|error| panic!("raise: {error}"));
            until("the interrupt arrives", || counters().received == n);
        }
        assert_eq!((counters().deferred, counters().dpc_runs, counters().notified), (5, 0, 0));
        machine.withhold_dpcs(false);
        until("the DPC has run", || counters().notified == 5);
        assert_eq!(counters().dpc_runs, 1, "one DPC for five interrupts");
        drop(plugin);
    }
    assert_eq!(world.unload(Subject::Edu), Unload::Gone);
}

/// A DPC that is queued when the interrupt is disabled has run when that is done, and what it counts is counted.
#[guest_test(stage = "loader")]
fn disabling_runs_a_dpc_that_is_queued(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    let plugin = world.connect(Subject::Edu);
    let connection = plugin.connection();
    edu::Client(&plugin).defer_every(1).unwrap_or_else(|error| panic!("defer: {error}"));
    let machine = &world.get(Subject::Edu).machine;
    for _ in 0..20 {
        connection.int_enable(kind::ANY, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
        machine.withhold_dpcs(true);
        edu::Client(&plugin).raise(1).unwrap_or_else(|error| panic!("raise: {error}"));
        let received = || connection.int_count(ANY_VECTOR).expect("an enabled interrupt has counters").1.received;
        until("the interrupt arrives", || received() == 1);
        let last = connection.int_disable().unwrap_or_else(|error| panic!("disable: {error}")).1;
        assert_eq!((last.deferred, last.dpc_runs, last.notified, last.lost), (1, 1, 1, 1));
        machine.withhold_dpcs(false);
    }
    drop(plugin);
    assert_eq!(world.unload(Subject::Edu), Unload::Gone);
}

/// CancelIoEx of a pended wait, again and again, at any moment of its life.
#[guest_test(stage = "loader")]
fn a_pended_wait_can_be_cancelled_at_any_moment(drivers: &str) {
    let mut world = Loader::new(drivers);
    world.load(Subject::Edu);
    let process = world.get(Subject::Edu).process.clone();
    let handle = open(&process, Subject::Edu);
    let node = ControlNode::over(handle);
    node.open(&mut crate::raw_ioctl::open(edu::INTERFACE), &[]).unwrap_or_else(|error| panic!("open: {error}"));
    node.int_enable(kind::ANY, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
    for round in 0..200 {
        thread::scope(|scope| {
            let wait = scope.spawn(|| node.int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
            if round % 2 == 0 {
                until("the wait is pending", || node.query(0).is_ok_and(|query| query.waits == 1));
            }
            // Once: a request that is cancelled before the driver has made it pending must end as well.
            while process.cancel_all() == 0 {
                thread::yield_now();
            }
            let ended = wait.join().expect("the waiter does not panic").map_err(|error| error.status);
            assert_eq!(ended, Err(Status::INTERRUPTED), "a cancelled wait");
        });
        assert_eq!(node.query(0).map(|query| query.waits), Ok(0));
    }
    drop(node);
    assert_eq!(world.unload(Subject::Edu), Unload::Gone);
}
