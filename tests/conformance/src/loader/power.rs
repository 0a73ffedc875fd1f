//! edu's and trouble's real .sys as the system's power comes and goes: who touches what, in which order what is asked for, and which clock runs.
use super::device::{Edu, NO_WAIT_ENDS, open_trouble};
use crate::{interrupts::until, registry::guest_test};
use kp_abi::{
    Status,
    request::{IntDisable, NO_TIMEOUT, Request, kind, state},
};
use kp_user::{ControlNode, Plugin};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use trouble_interface::{Happened, trouble};
use windows_loader::{Assigned, Machine, Options, Processor, Sites, Token};

/// A machine in which the bus answers at one level or the other first, and as Driver Verifier has it or not.
fn machines() -> impl Iterator<Item = Machine> {
    [(false, false), (false, true), (true, false), (true, true)].into_iter().map(|(verifier, at_dispatch)| {
        let mut options = Options::default();
        (options.verifier, options.first_at_dispatch) = (verifier, at_dispatch);
        Machine::new(options)
    })
}

#[guest_test(stage = "loader")]
fn every_request_of_a_stack_is_gone_about_as_documented_at_either_level(drivers: &str) {
    for machine in machines() {
        let edu = Edu::in_machine(machine, "edu", drivers, Assigned::Line);
        let client = edu.client();
        client.armed();
        for _ in 0..3 {
            edu.device.set_system_power(false).unwrap();
            edu.device.set_system_power(true).unwrap();
        }
        assert_eq!(client.invert(7), (Status::OK, !7));
        client.close();
        edu.device.stop().unwrap();
        edu.device.start(Assigned::Messages(1)).unwrap();
        edu.device.set_system_power(false).unwrap();
        edu.device.surprise_removal();
        edu.device.removed();
        edu.unload();
    }
}

#[guest_test(stage = "loader")]
fn interrupts_are_enabled_with_the_exports_of_either_processor(drivers: &str) {
    for processor in [Processor::X64, Processor::Arm64] {
        let mut options = Options::default();
        options.processor = processor;
        let edu = Edu::in_machine(Machine::new(options), "edu", drivers, Assigned::Line);
        let client = edu.client();
        assert_eq!(client.enable(kind::LINE), Status::OK, "with the exports of {processor:?}");
        client.close();
        edu.finish();
    }
    // The build's table says of the same functions that one processor's kernels alone have them.
    let table = include_str!("../../../../cargo-kp/windows-imports.toml");
    let only = table.lines().filter_map(|line| {
        let processor = line.split_once(", only = \"")?.1.split_once('"')?.0;
        Some((line.split_once(" = ")?.0, if processor == "x86_64" { Processor::X64 } else { Processor::Arm64 }))
    });
    assert!(only.eq(windows_loader::ONLY.iter().copied()), "{:?}", windows_loader::ONLY);
}

#[guest_test(stage = "loader")]
fn no_deferred_call_is_queued_in_what_is_freed(drivers: &str) {
    for assigned in [Assigned::Line, Assigned::Messages(1)] {
        let edu = Edu::started(drivers, assigned);
        let (client, other) = (edu.client(), edu.client());
        client.armed();
        let waits = [(); 2].map(|()| client.wait(NO_TIMEOUT));
        // A deferred call runs, of one interrupt, and completes a wait for it.
        edu.machine.stop_a_dpc(|| client.raise(1));
        // There is another meanwhile, for which it will have to run again.
        let deferred = client.deferrals();
        other.raise(2);
        until("its handler has run", || client.deferrals() > deferred);
        std::thread::scope(|scope| {
            let disabled = scope.spawn(|| client.status(IntDisable::new()));
            // The interrupt is disconnected, and the deferred call queues itself during the flush.
            edu.machine.go_on_in_a_flush();
            assert_eq!(disabled.join().expect("it does not panic"), Status::OK);
        });
        for wait in waits {
            wait.end();
        }
        client.close();
        other.close();
        edu.finish();
    }
}

fn connect(edu: &Edu) -> Plugin {
    let handle = Arc::new(ControlNode::over(open_trouble(&edu.process)));
    Plugin::over(handle, trouble::INTERFACE, &[]).expect("it opens")
}

#[guest_test(stage = "loader")]
fn a_process_ends_that_sleeps_with_a_mutex(drivers: &str) {
    let trouble = Edu::driven_by("trouble", drivers, Assigned::Nothing);
    let process = trouble.machine.process(Token::Administrator);
    let handle = Arc::new(ControlNode::over(open_trouble(&process)));
    let plugin = Plugin::over(handle, trouble::INTERFACE, &[]).expect("it opens");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| trouble::Client(&plugin).hold(30_000));
        until("the call is in the driver", || plugin.query().is_ok_and(|query| query.calls == 1));
        process.exit();
        // Whatever it answers, nobody reads it.
        let _ = held.join().expect("the caller does not panic");
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "the end of its process ends a sleep with a mutex");
    drop(plugin);
    // The mutex is free.
    assert_eq!(trouble::Client(&connect(&trouble)).hold(1), Ok(()));
    trouble.finish();
}

#[guest_test(stage = "loader")]
fn a_wait_does_not_run_out_while_the_machine_sleeps(drivers: &str) {
    let edu = Edu::started(drivers, Assigned::Line);
    let client = edu.client();
    client.armed();
    // Ten minutes: the loader's clocks say that the machine has slept for an hour each time.
    let waits = [(); 2].map(|()| client.wait(600_000_000_000));
    edu.device.set_system_power(false).unwrap();
    edu.device.set_system_power(true).unwrap();
    // One notification, for which both are looked at.
    client.raise(1);
    until("a wait is over", || waits.iter().any(|wait| wait.is_over()));
    std::thread::sleep(NO_WAIT_ENDS);
    let over = waits.iter().filter(|wait| wait.is_over()).count();
    assert_eq!(over, 1, "the time that the machine has slept is not counted");
    client.raise(1);
    for wait in waits {
        assert_eq!(wait.status(), Status::OK);
    }
    client.close();
    edu.finish();
}

#[guest_test(stage = "loader")]
fn a_session_closed_before_the_device_has_power_leaves_it_alone(drivers: &str) {
    for machine in machines() {
        let edu = Edu::in_machine(machine, "edu", drivers, Assigned::Line);
        let (client, other) = (edu.client(), edu.client());
        client.armed();
        edu.device.set_system_power(false).unwrap();
        edu.device.hold_power(true);
        // The system is awake, and apps run; the device is not.
        edu.device.begin_system_power(true).unwrap();
        edu.device.wait_until_power_is_held();
        client.close();
        std::thread::scope(|scope| {
            let held = scope.spawn(|| other.invert(7));
            std::thread::sleep(NO_WAIT_ENDS);
            assert!(!held.is_finished(), "a call waits for the device's power");
            edu.device.hold_power(false);
            assert_eq!(held.join().expect("the caller does not panic"), (Status::OK, !7));
        });
        edu.device.settle();
        other.close();
        edu.finish();
    }
}

#[guest_test(stage = "loader")]
fn a_device_removed_asleep_is_left_alone(drivers: &str) {
    for machine in machines() {
        let edu = Edu::in_machine(machine, "edu", drivers, Assigned::Line);
        let client = edu.client();
        client.armed();
        edu.device.set_system_power(false).unwrap();
        client.close();
        edu.device.remove().unwrap();
        edu.unload();
    }
}

#[guest_test(stage = "loader")]
fn power_that_could_not_be_asked_for_is_asked_for_again(drivers: &str) {
    let sites = Sites::new();
    let mut options = Options::default();
    options.faults = Some(sites.clone());
    let edu = Edu::in_machine(Machine::new(options), "edu", drivers, Assigned::Line);
    let client = edu.client();
    for on_waking in [false, true] {
        if !on_waking {
            sites.fail_next("PoRequestPowerIrp");
        }
        edu.device.set_system_power(false).unwrap();
        if on_waking {
            sites.fail_next("PoRequestPowerIrp");
        }
        edu.device.set_system_power(true).unwrap();
        until("the device is at work", || client.is_awake());
        assert_eq!(client.invert(7), (Status::OK, !7));
    }
    client.close();
    edu.finish();
}

#[guest_test(stage = "loader")]
fn no_power_is_asked_for_again_once_the_machine_goes_to_sleep(drivers: &str) {
    let sites = Sites::new();
    let mut options = Options::default();
    options.faults = Some(sites.clone());
    let trouble = Edu::in_machine(Machine::new(options), "trouble", drivers, Assigned::Line);
    let plugin = connect(&trouble);
    let is_awake = || plugin.query().is_ok_and(|query| query.state == state::BOUND);
    trouble.device.set_system_power(false).unwrap();
    sites.fail_next("PoRequestPowerIrp");
    trouble.device.begin_system_power(true).unwrap();
    trouble.device.begin_system_power(false).unwrap();
    // Longer than the driver takes to ask again.
    std::thread::sleep(6 * NO_WAIT_ENDS);
    assert!(!is_awake(), "the device sleeps with the machine");
    trouble.device.set_system_power(true).unwrap();
    until("the device is at work", is_awake);
    let happened = trouble::Client(&plugin).happened();
    assert_eq!(happened, Ok(Happened { suspends: 1, resumes: 1 }));
    drop(plugin);
    trouble.finish();
}
