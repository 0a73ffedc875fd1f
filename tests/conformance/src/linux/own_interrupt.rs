//! An interrupt of the plugin's own in a guest: it comes without an app, apps listen to it, and nothing of it is left.
use super::{
    Guest, load,
    planted::sleep_as_far_as,
    stress::{Watchdog, address, sysfs},
    unload,
};
use crate::{Unload, interrupts::until, registry::guest_test};
use eduown_interface::{Heard, own};
use kp_abi::{
    Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_user::Plugin;
use std::thread;

const NAME: &str = "eduown";
/// In ns.
const SECONDS: u64 = 10_000_000_000;

fn open() -> Plugin {
    Plugin::open_interface(NAME, own::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn heard(plugin: &Plugin) -> Heard {
    own::Client(plugin).heard().expect("the plugin answers")
}

/// Interrupts come before an app has asked for any; apps listen and go; the interrupt is off and on again under them; the driver is taken from
/// its device, and unloaded, under interrupts.
#[guest_test("own interrupt", stage = "tear-down", short = "20", long = "200")]
fn an_interrupt_without_an_app_ends_with_the_device(rounds: u32) {
    let _watchdog = Watchdog::new("an interrupt of the plugin's own");
    let _ = Guest;
    load(NAME);
    let plugin = open();
    let (app, client) = (plugin.connection(), own::Client(&plugin));
    client.wait(10).expect("the plugin hears");
    let (_, counters) = app.int_count(ANY_VECTOR).expect("there are counters");
    assert!(counters.notified >= 10 && counters.lost == counters.notified, "nobody listens: {counters:?}");

    let other = open();
    client.every(100).unwrap();
    for round in 0..rounds {
        let enabled = app.int_enable(kind::ANY, 1, 1, &[]).expect("an app listens");
        assert_eq!(enabled.kind, kind::MSI);
        assert_eq!(other.connection().int_enable(kind::ANY, 1, 1, &[]).map(drop), Err(Status::INTERRUPT_OWNED.into()));
        let got = app.int_wait(SECONDS, ANY_VECTOR, 1).expect("it hears");
        assert_eq!(got.generation, enabled.generation);
        own::Client(&other).halt().unwrap_or_else(|error| panic!("halt {round}: {error}"));
        let before = heard(&plugin).interrupts;
        until("an app that listens hears on", || {
            app.int_wait(SECONDS, ANY_VECTOR, u32::MAX).expect("it listens").got > 0
                && heard(&plugin).interrupts > before
        });
        app.int_disable().expect("it listens no more");
    }
    client.every(0).unwrap();
    let said = heard(&plugin);
    assert_eq!((said.callbacks, said.wrong), ([rounds + 1, rounds + 1, rounds, rounds], 0));
    drop((plugin, other));
    assert_eq!(unload(NAME), Unload::Gone);

    for _ in 0..3 {
        unbound();
    }
    // Nobody has opened it.
    load(NAME);
    thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(unload(NAME), Unload::Gone);
    println!("off and on again {rounds} times under an app that listens; removed five times under interrupts");
}

/// The driver goes while interrupts come, an app waits for one, and a call does.
fn unbound() {
    load(NAME);
    let (plugin, waiter) = (open(), open());
    own::Client(&plugin).every(100).unwrap();
    plugin.connection().int_enable(kind::ANY, 1, 1, &[]).expect("an app listens");
    let address = address(&plugin);
    thread::scope(|scope| {
        let wait = scope.spawn(|| {
            loop {
                if let Err(error) = plugin.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1) {
                    return error;
                }
            }
        });
        let call = scope.spawn(|| own::Client(&waiter).wait(1_000_000));
        until("the call waits", || waiter.connection().query(0).is_ok_and(|query| query.calls == 1));
        sysfs(NAME, "unbind", &address);
        assert_eq!(wait.join().expect("the waiter does not panic"), Status::DEVICE_GONE);
        assert_eq!(call.join().expect("the caller does not panic"), Err(Status::DEVICE_GONE.into()));
    });
    drop((plugin, waiter));
    assert_eq!(unload(NAME), Unload::Gone);
}

/// The devices sleep and wake, without the platform and with it: the interrupt is down meanwhile, though the device has one for it, and is there
/// again, whether an app has listened or not. It is the interrupt that was enabled with the device.
#[guest_test("own-asleep", stage = "planted")]
fn an_interrupt_of_the_plugins_own_is_down_while_the_devices_sleep() {
    let _watchdog = Watchdog::new("an interrupt of the plugin's own in a suspend");
    load(NAME);
    let plugin = open();
    let (app, client) = (plugin.connection(), own::Client(&plugin));
    client.wait(10).expect("the plugin hears");
    client.disturb_sleep().unwrap();
    let mut sleeps = 0;
    for level in ["devices", "platform"] {
        for listens in [false, true] {
            let enabled = listens.then(|| app.int_enable(kind::ANY, 1, 1, &[]).expect("an app listens"));
            client.every(0).unwrap();
            let before = quiet(&plugin);
            sleep_as_far_as(level);
            sleeps += 1;
            let woken = quiet(&plugin);
            assert_eq!(woken.sleeps, [sleeps, 0], "{level}: no callback runs while the device sleeps");
            assert_eq!(woken.unheard, sleeps, "{level}: the device had an interrupt for it");
            assert_eq!(woken.interrupts, before.interrupts, "{level}: what came meanwhile is nobody's");
            client.every(1000).unwrap();
            client.wait(10).expect("it is there again");
            if let Some(enabled) = enabled {
                let got = app.int_wait(SECONDS, ANY_VECTOR, 1).expect("it listens still");
                assert_eq!(got.generation, enabled.generation);
                app.int_disable().expect("it listens no more");
            }
        }
    }
    let said = heard(&plugin);
    assert_eq!((said.callbacks, said.wrong), ([1, 1, 0, 0], 0), "it was enabled once");
    drop(plugin);
    assert_eq!(unload(NAME), Unload::Gone);
    println!("{sleeps} sleeps, with an interrupt in each");
}

/// What has happened, when the last interrupt was heard.
fn quiet(plugin: &Plugin) -> Heard {
    let mut last = heard(plugin);
    until("nothing comes", || {
        thread::sleep(std::time::Duration::from_millis(5));
        let now = heard(plugin);
        std::mem::replace(&mut last, now).interrupts == now.interrupts
    });
    last
}
