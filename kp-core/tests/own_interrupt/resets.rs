//! What is Busy while an app's interrupt is enabled takes one of the plugin's own off, and on again.
use crate::{
    REFUSE_ARM, REFUSE_ENABLE, RESET_INSIDE, SECOND, bound,
    card::{Card, Own, messages},
    connect, order, send,
};
use kp_abi::{
    Error, Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_sim::{Sim, explore};
use std::{collections::BTreeSet, sync::Mutex};

/// Runs a test in a world in which time passes by itself.
fn in_a_world(f: impl Fn() + Sync) {
    explore(0..1, |_| f());
}

const OFF_AND_ON: [&str; 5] = ["int_disarm", "int_disable", "int_enable", "int_arm", "MsiX, 4"];

#[test]
fn a_reset_and_a_halt_take_it_off_and_on_again_and_who_listens_listens_on() {
    in_a_world(|| {
        let sim = bound();
        let plugin = connect(&sim);
        let (app, client) = (plugin.connection(), messages::Client(&plugin));
        let enabled = app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        send(&sim, 2);
        for (n, halts) in [(1, false), (2, true)] {
            client.lose().unwrap();
            let said = sim.log().len();
            if halts {
                client.halt().unwrap()
            } else {
                client.reset().unwrap()
            }
            assert_eq!(sim.log()[said..], OFF_AND_ON);
            assert_eq!(sim.live().dma, 0, "what the card had is freed");
            let (generation, counters) = app.int_count(ANY_VECTOR).unwrap();
            assert_eq!((generation, counters.received, counters.available), (enabled.generation, n, n));
            send(&sim, 2);
        }
        let got = app.int_wait(SECOND, 2, 9).unwrap();
        assert_eq!((got.got, got.generation), (3, enabled.generation));
        assert_eq!(sim.device(|card: &mut Card| card.resets), 1);
    });
}

/// A wait that is pending hears what comes after it.
#[test]
fn a_pending_wait_lives_through_a_reset() {
    explore(0..60, |world| {
        let sim = bound();
        let plugin = connect(&sim);
        let app = plugin.connection();
        app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        world.scope(|scope| {
            scope.spawn("waiter", || assert_eq!(app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1).unwrap().got, 1));
            scope.spawn("resetter", || {
                while app.query(0).unwrap().waits == 0 {}
                messages::Client(&plugin).reset().unwrap();
                send(&sim, 0);
            });
        });
    });
}

#[test]
fn other_vectors_than_before_end_the_listening() {
    in_a_world(|| {
        let sim = bound();
        let plugin = connect(&sim);
        let (app, client) = (plugin.connection(), messages::Client(&plugin));
        let enabled = app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        send(&sim, 0);
        sim.device(|card: &mut Card| card.vectors = 2);
        client.reset().unwrap();
        assert_eq!(app.int_wait(0, ANY_VECTOR, 1).map(drop), Err(Status::NOT_ENABLED.into()));
        assert_eq!(app.int_enable(kind::ANY, 3, 4, &[]).map(drop), Err(Status::NO_INTERRUPT.into()));
        let again = app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        assert!(again.count == 2 && again.generation > enabled.generation, "{again:?}");
        assert_eq!(app.int_count(ANY_VECTOR).unwrap().1.received, 0, "they count anew");
        send(&sim, 1);
        assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1).unwrap().vector, 1);
    });
}

/// The client's value of the old listening goes after the new one has come, as an assignment has it.
#[test]
fn a_listening_that_is_over_does_not_end_the_next_one_when_it_is_dropped() {
    in_a_world(|| {
        let sim = bound();
        let plugin = connect(&sim);
        let old = plugin.interrupts(kp_user::Enable::any().vectors(1..=4)).unwrap();
        sim.device(|card: &mut Card| card.vectors = 2);
        messages::Client(&plugin).reset().unwrap();
        let new = plugin.interrupts(kp_user::Enable::any().vectors(1..=4)).unwrap();
        drop(old);
        send(&sim, 1);
        assert_eq!(new.wait(std::time::Duration::from_secs(1)).map(|got| got.vector), Ok(1));
        drop(new);
        assert_eq!(plugin.connection().int_wait(0, ANY_VECTOR, 1).map(drop), Err(Status::NOT_ENABLED.into()));
    });
}

#[test]
fn in_the_interrupts_callbacks_it_is_busy() {
    in_a_world(|| {
        let sim = Sim::<Own>::with(Card::told(RESET_INSIDE)).unwrap();
        messages::Client(&connect(&sim)).reset().unwrap();
        sim.remove(true);
        let log = sim.log();
        let inside: Vec<_> = log.iter().filter(|line| line.contains(": reset")).collect();
        assert_eq!(inside.len(), 8, "{log:?}");
        assert!(inside.iter().all(|line| line.ends_with(": reset Busy, halt Busy")), "{log:?}");
    });
}

/// Two at once: one is Busy, or they come one after the other. With removal, and with work that resets.
#[test]
fn resets_and_a_removal_meet_in_any_order_without_a_deadlock() {
    let seen = Mutex::new(BTreeSet::new());
    for removes in [false, true] {
        explore(0..100, |world| {
            let sim = bound();
            let [one, two] = [(); 2].map(|()| connect(&sim));
            world.scope(|scope| {
                for (name, plugin) in [("first", &one), ("second", &two)] {
                    let seen = &seen;
                    scope.spawn(name, move || {
                        let _ = plugin.connection().int_enable(kind::ANY, 1, 4, &[]);
                        let result = messages::Client(plugin).reset();
                        let status = result.map_or_else(|error| error.status.name(), |()| "Ok");
                        seen.lock().unwrap().insert(status);
                    });
                }
                scope.spawn("third", || {
                    let _ = messages::Client(&one).reset_in_work();
                    if removes {
                        sim.remove(true);
                    }
                });
            });
            drop((one, two));
            sim.unload().unwrap();
        });
    }
    let seen = seen.into_inner().unwrap();
    assert!(seen.contains("Ok") && seen.contains("Busy"), "{seen:?}");
    let allowed = BTreeSet::from(["Ok", "Busy", "DeviceGone", "Closed"]);
    assert!(seen.is_subset(&allowed), "{seen:?}");
}

#[test]
fn if_it_cannot_be_enabled_again_it_is_off_until_a_reset_can() {
    in_a_world(|| {
        let sim = bound();
        let plugin = connect(&sim);
        let (app, client) = (plugin.connection(), messages::Client(&plugin));
        app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        for (orders, error) in [(REFUSE_ENABLE, 7), (REFUSE_ARM, 8), (REFUSE_ENABLE, 7)] {
            order(&sim, orders);
            assert_eq!(client.reset(), Err(Error::plugin(error)));
            assert_eq!(app.int_wait(0, ANY_VECTOR, 1).map(drop), Err(Status::NOT_ENABLED.into()));
            assert_eq!(app.int_enable(kind::ANY, 1, 4, &[]).map(drop), Err(Status::NO_INTERRUPT.into()));
            assert_eq!(sim.live().interrupts, 0);
        }
        order(&sim, 0);
        client.reset().unwrap();
        app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        send(&sim, 0);
        assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1).unwrap().got, 1);
        // And one that was off at the end of its device.
        order(&sim, REFUSE_ENABLE);
        assert_eq!(client.halt(), Err(Error::plugin(7)));
        sim.remove(true);
        assert_eq!(sim.log().iter().filter(|line| *line == "int_disarm").count(), 2);
    });
}

/// A wait that is pending then ends.
#[test]
fn a_pending_wait_ends_if_the_interrupt_does() {
    explore(0..60, |world| {
        let sim = bound();
        let plugin = connect(&sim);
        let app = plugin.connection();
        app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        order(&sim, REFUSE_ARM);
        world.scope(|scope| {
            scope.spawn("waiter", || {
                assert_eq!(app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1), Err(Status::INT_DISABLED.into()));
            });
            scope.spawn("resetter", || {
                while app.query(0).unwrap().waits == 0 {}
                assert_eq!(messages::Client(&plugin).reset(), Err(Error::plugin(8)));
            });
            scope.spawn("closer", || {
                sim.advance(1000);
                let _ = plugin.connection().query(0);
            });
        });
    });
}

/// It would be enabled at a card that answers nothing.
#[test]
fn a_card_that_does_not_come_back_is_left_alone() {
    in_a_world(|| {
        let sim = bound();
        let plugin = connect(&sim);
        let app = plugin.connection();
        app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        sim.device(|card: &mut Card| card.dies = true);
        assert_eq!(messages::Client(&plugin).reset(), Err(Status::TIMEOUT.into()));
        assert_eq!(app.int_wait(0, ANY_VECTOR, 1).map(drop), Err(Status::NOT_ENABLED.into()));
        assert_eq!((sim.live().interrupts, sim.log().len()), (0, 5));
    });
}

/// The app that has asked for the reset is killed, or closes, meanwhile: the interrupt is not left off for that.
#[test]
fn the_end_of_its_app_does_not_end_a_reset() {
    explore(0..60, |world| {
        let sim = bound();
        let [one, two] = [(); 2].map(|()| connect(&sim));
        world.scope(|scope| {
            scope.spawn("resetter", || _ = messages::Client(&one).reset());
            scope.spawn("closer", || one.connection().close().unwrap());
        });
        two.connection().int_enable(kind::ANY, 1, 4, &[]).unwrap();
        send(&sim, 0);
        assert_eq!(two.connection().int_wait(SECOND, ANY_VECTOR, 1).unwrap().got, 1);
    });
}
