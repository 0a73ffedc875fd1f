//! An interrupt of the plugin's own in the real Windows driver: it comes without an app, apps listen to it, and nothing of it is left.
use super::{device::Edu, resources::connect};
use crate::{interrupts::until, registry::guest_test};
use eduown_interface::{Heard, own};
use kp_abi::{
    Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_user::Plugin;
use std::thread;
use windows_loader::Assigned;

const NODE: &str = r"\\.\kp-eduown.0";
/// In ns.
const SECONDS: u64 = 10_000_000_000;

fn open(loaded: &Edu) -> Plugin {
    connect(&loaded.process, NODE, own::INTERFACE)
}

fn heard(plugin: &Plugin) -> Heard {
    own::Client(plugin).heard().expect("the plugin answers")
}

/// By a line and by messages.
#[guest_test(stage = "loader")]
fn interrupts_come_without_an_app_and_apps_listen(drivers: &str) {
    for (assigned, wanted) in [(Assigned::Line, kind::LINE), (Assigned::Messages(1), kind::MSI)] {
        let loaded = Edu::driven_by("eduown", drivers, assigned);
        let (plugin, other) = (open(&loaded), open(&loaded));
        let app = plugin.connection();
        own::Client(&plugin).wait(5).expect("the plugin hears");
        let (_, counters) = app.int_count(ANY_VECTOR).unwrap();
        assert!(counters.notified >= 5 && counters.lost == counters.notified, "nobody listens: {counters:?}");
        for _ in 0..5 {
            let enabled = app.int_enable(kind::ANY, 1, 1, &[]).expect("an app listens");
            assert_eq!(enabled.kind, wanted);
            let owned = other.connection().int_enable(kind::ANY, 1, 1, &[]).map(drop);
            assert_eq!(owned, Err(Status::INTERRUPT_OWNED.into()));
            app.int_wait(SECONDS, ANY_VECTOR, 1).expect("it hears");
            own::Client(&other).halt().expect("the interrupt is off and on again");
            let before = heard(&plugin).interrupts;
            until("an app that listens hears on", || {
                app.int_wait(SECONDS, ANY_VECTOR, u32::MAX).expect("it listens").got > 0
                    && heard(&plugin).interrupts > before
            });
            app.int_disable().expect("it listens no more");
        }
        own::Client(&plugin).every(0).unwrap();
        assert_eq!((heard(&plugin).callbacks, heard(&plugin).wrong), ([6, 6, 5, 5], 0));
        drop((plugin, other));
        loaded.finish();
    }
}

/// The device is removed, or pulled out, while interrupts come and an app waits for one.
#[guest_test(stage = "loader")]
fn a_device_goes_under_interrupts_of_its_plugins_own(drivers: &str) {
    for pulled_out in [false, true] {
        let loaded = Edu::driven_by("eduown", drivers, Assigned::Line);
        let plugin = open(&loaded);
        own::Client(&plugin).wait(2).unwrap();
        plugin.connection().int_enable(kind::ANY, 1, 1, &[]).expect("an app listens");
        if !pulled_out {
            drop(plugin);
            loaded.finish();
            continue;
        }
        thread::scope(|scope| {
            let wait = scope.spawn(|| {
                loop {
                    if let Err(error) = plugin.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1) {
                        return error;
                    }
                }
            });
            loaded.device.surprise_removal();
            assert_eq!(wait.join().expect("the waiter does not panic"), Status::DEVICE_GONE);
        });
        drop(plugin);
        loaded.device.removed();
        loaded.unload();
    }
}

/// The interrupt stays enabled through sleeps of the system, in which no callback runs, whether an app listens or not.
#[guest_test(stage = "loader")]
fn an_interrupt_of_the_plugins_own_comes_again_after_a_sleep(drivers: &str) {
    for assigned in [Assigned::Line, Assigned::Messages(1)] {
        let loaded = Edu::driven_by("eduown", drivers, assigned);
        let plugin = open(&loaded);
        let (app, client, device) = (plugin.connection(), own::Client(&plugin), &loaded.device);
        client.wait(2).expect("the plugin hears");
        for (slept, listens) in (1..).zip([false, true]) {
            if listens {
                app.int_enable(kind::ANY, 1, 1, &[]).expect("an app listens");
            }
            client.every(0).unwrap();
            device.set_system_power(false).unwrap_or_else(|status| panic!("sleep: {status:#x}"));
            device.set_system_power(true).unwrap_or_else(|status| panic!("wake: {status:#x}"));
            assert_eq!(heard(&plugin).sleeps, [slept, 0], "no callback runs while the device sleeps");
            client.every(1000).unwrap();
            client.wait(10).expect("it comes");
            if listens {
                app.int_wait(SECONDS, ANY_VECTOR, 1).expect("it listens still");
            }
        }
        assert_eq!(heard(&plugin).callbacks, [1, 1, 0, 0], "it was enabled once");
        drop(plugin);
        loaded.finish();
    }
}
