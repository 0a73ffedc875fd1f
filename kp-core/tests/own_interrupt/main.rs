//! An interrupt of the plugin's own: enabled with the device, whether an app listens or not.
mod card;
mod ends;
mod listening;
mod resets;

use card::{Card, Own, messages};
use kp_abi::{
    Error, Status,
    request::{ANY_VECTOR, kind},
};
use kp_core::host::{BoundDevice, RawDevice};
use kp_sim::{Sim, every_failure, explore};
use kp_user::Plugin;

/// The bits of ORDERS.
const REFUSE_ENABLE: u32 = 1 << 0;
const REFUSE_ARM: u32 = 1 << 1;
const RESET_INSIDE: u32 = 1 << 2;
const STUCK: u32 = 1 << 3;
const EARLY_WORK: u32 = 1 << 4;
const NOT_MINE: u32 = 1 << 5;
const DONE: u32 = 1 << 6;

const SECOND: u64 = 1_000_000_000;

fn bound() -> Sim<Own> {
    Sim::<Own>::with(Card::new()).unwrap()
}

fn connect(sim: &Sim<Own>) -> Plugin {
    sim.connect(messages::INTERFACE).unwrap()
}

/// Changes what the plugin is to do wrong.
fn order(sim: &Sim<Own>, orders: u32) {
    sim.device(|card: &mut Card| card.orders = orders);
}

/// Has the card send, as for an event of its own.
fn send(sim: &Sim<Own>, vector: u16) {
    sim.device(|card: &mut Card| card.send(vector));
}

#[test]
fn interrupts_come_without_an_app_and_are_counted_as_lost() {
    let sim = bound();
    assert_eq!(sim.log(), ["int_enable", "int_arm", "MsiX, 4"], "of the best kind, as many as the plugin serves");
    [0, 3, 3].into_iter().for_each(|vector| send(&sim, vector));
    let plugin = connect(&sim);
    assert_eq!(messages::Client(&plugin).heard(), Ok(3));
    let (_, counters) = plugin.connection().int_count(ANY_VECTOR).unwrap();
    assert_eq!((counters.received, counters.deferred, counters.dpc_runs), (3, 3, 3));
    assert_eq!((counters.notified, counters.delivered, counters.available, counters.lost), (3, 0, 0, 3));
    assert_eq!(plugin.connection().int_count(3).unwrap().1.received, 2);
    drop(plugin);
    sim.unload().unwrap();
}

/// What the machine has not, it does not get; what it has is the best.
#[test]
fn it_is_of_the_best_kind_that_the_machine_has() {
    for (kinds, got) in [(kind::ANY, "MsiX, 4"), (kind::MSI | kind::LINE, "Msi, 1"), (kind::LINE, "Line, 1")] {
        let sim = Sim::<Own>::builder().device(Card::new()).kinds(kinds).build().unwrap();
        assert_eq!(sim.log().last().map(String::as_str), Some(got));
    }
    let refused = Sim::<Own>::builder().device(Card::new()).kinds(0).build();
    assert_eq!(refused.map(drop), Err(Status::NO_INTERRUPT.into()));
}

/// Work runs beside it, which is over before the plugin goes. The simulator looks for what is left.
#[test]
fn a_step_that_fails_is_as_an_init_that_refuses() {
    for (orders, error) in [(REFUSE_ENABLE, 7), (REFUSE_ARM, 8)] {
        explore(0..60, |_| {
            let refused = Sim::<Own>::with(Card::told(orders | EARLY_WORK)).map(drop);
            assert_eq!(refused, Err(Error::plugin(error)));
        });
    }
}

#[test]
fn a_plugin_without_a_device_has_no_interrupt_to_enable() {
    let sim = bound();
    // SAFETY: no request, and no removal but this.
    let refused = sim.enter(|cx| unsafe { BoundDevice::<Own>::bind(cx, RawDevice::none()) }.map(drop));
    assert_eq!(refused, Err(Status::WRONG_DEVICE.into()), "`init` has refused it");
}

#[test]
fn every_failure_of_binding_and_listening() {
    let told = every_failure(
        || Sim::<Own>::builder().device(Card::new()),
        |sim| -> Result<(), Error> {
            let over = |error: kp_user::OpenError| Error::from(error.status().unwrap_or(Status::NO_MEMORY));
            let plugin = sim.connect(messages::INTERFACE).map_err(over)?;
            let app = plugin.connection();
            app.int_enable(kind::ANY, 1, 4, &[])?;
            messages::Client(&plugin).send(1)?;
            assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1)?.got, 1);
            app.int_disable()?;
            Ok(())
        },
    );
    let expected = [Status::NO_MEMORY, Status::NO_DMA, Status::NO_INTERRUPT, Status::CONNECT_FAILED];
    for (n, error) in (1..).zip(&told) {
        let error = error.as_ref().unwrap_or_else(|| panic!("call {n} failed, and nobody was told"));
        assert!(expected.contains(&error.status), "call {n}: {error}");
    }
    for status in expected {
        assert!(told.iter().flatten().any(|error| error.status == status), "{status} was not met");
    }
}
