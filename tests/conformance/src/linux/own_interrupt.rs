//! An interrupt of the plugin's own in a guest: it comes without an app, apps listen to it, and nothing of it is left.
use super::{
    Guest, load,
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
