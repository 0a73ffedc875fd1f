//! The end of an interrupt of the plugin's own, and of its device.
use crate::{bound, card::messages, connect, send};
use kp_abi::{
    Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_sim::explore;

#[test]
fn a_removal_disables_it_after_the_sessions_and_before_the_plugin_goes() {
    let sim = bound();
    let plugin = connect(&sim);
    plugin.connection().int_enable(kind::ANY, 1, 4, &[]).unwrap();
    sim.remove(true);
    assert_eq!(sim.log()[3..], ["removing", "int_disarm", "int_disable", "dropped"]);
    let sim = bound();
    sim.remove(false);
    assert_eq!(sim.log()[3..], ["removing", "int_disable", "dropped"], "a card that is not there is not touched");
}

/// A call that waits for an interrupt gets it: the interrupt is on until the last call has left.
#[test]
fn in_any_order_removal_and_interrupts_leave_nothing() {
    for present in [true, false] {
        explore(0..150, |world| {
            let sim = bound();
            let [driver, listener] = [(); 2].map(|()| connect(&sim));
            world.scope(|scope| {
                scope.spawn("device", || {
                    for _ in 0..4 {
                        let sent = messages::Client(&driver).send(1);
                        assert!(sent == Ok(()) || sent == Err(Status::DEVICE_GONE.into()), "{sent:?}");
                    }
                });
                scope.spawn("listener", || {
                    let app = listener.connection();
                    let enabled = app.int_enable(kind::ANY, 1, 4, &[]).map(drop);
                    assert!(enabled == Ok(()) || enabled == Err(Status::DEVICE_GONE.into()), "{enabled:?}");
                    while let Ok(got) = app.int_wait(NO_TIMEOUT, ANY_VECTOR, 9) {
                        assert!(got.got > 0);
                    }
                });
                scope.spawn("remover", || sim.remove(present));
            });
            assert!(sim.now_ns() < 50_000_000, "it took {} ns", sim.now_ns());
            drop((driver, listener));
            assert_eq!(sim.live().interrupts, 0);
            sim.unload().unwrap();
        });
    }
}

/// Under interrupts of the card's own.
#[test]
fn an_unload_under_interrupts_leaves_nothing() {
    explore(0..60, |world| {
        let sim = bound();
        world.scope(|scope| {
            scope.spawn("device", || (0..8).for_each(|n| send(&sim, n % 4)));
            scope.spawn("remover", || sim.remove(true));
        });
        assert_eq!(sim.live().interrupts, 0);
        sim.unload().unwrap();
    });
}

/// Nothing of a plugin that has panicked runs any more, its handler neither.
#[test]
fn a_panic_leaves_it_disconnected() {
    let sim = bound();
    let plugin = connect(&sim);
    let client = messages::Client(&plugin);
    plugin.connection().int_enable(kind::ANY, 1, 4, &[]).unwrap();
    assert_eq!(client.panic(), Err(Status::POISONED.into()));
    let said = sim.log().len();
    send(&sim, 0);
    assert_eq!(plugin.connection().int_wait(0, ANY_VECTOR, 1), Err(Status::POISONED.into()));
    drop(plugin);
    sim.remove(true);
    assert_eq!(sim.live().interrupts, 0);
    let log = sim.log();
    assert!(!log[said..].iter().any(|line| line.starts_with("int_")), "{log:?}");
    sim.unload().unwrap();
}
