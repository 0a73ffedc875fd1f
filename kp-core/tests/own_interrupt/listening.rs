//! Apps that listen to an interrupt of the plugin's own: what INT_ENABLE and INT_DISABLE are then.
use crate::{
    DONE, NOT_MINE, REFUSE_ENABLE, SECOND, STUCK, bound,
    card::{Card, messages},
    connect, order, send,
};
use kp_abi::{
    Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
use kp_sim::explore;

#[test]
fn an_app_listens_and_nothing_of_the_plugins_runs() {
    let sim = bound();
    let said = sim.log().len();
    let plugin = connect(&sim);
    let app = plugin.connection();
    let none = app.int_count(ANY_VECTOR).unwrap().0;
    let mut last = none;
    for listening in 1..=2 {
        send(&sim, 1);
        let enabled = app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        assert_eq!((enabled.kind, enabled.count), (kind::MSIX, 4));
        assert!(enabled.generation > last, "each listening has a number of its own");
        last = enabled.generation;
        assert_eq!(app.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()), "what came before is lost");
        (0..3).for_each(|_| send(&sim, 2));
        let got = app.int_wait(SECOND, ANY_VECTOR, 2).unwrap();
        assert_eq!((got.vector, got.got, got.available, got.generation), (2, 2, 1, last));
        let (generation, counters) = app.int_disable().unwrap();
        // They go on from the enabling, which was before the first app.
        assert_eq!((generation, counters.received, counters.delivered), (last, 4 * listening, 2 * listening));
        assert_eq!((counters.available, counters.lost), (0, 2 * listening), "one that nobody took, one unheard");
        assert_eq!(app.int_count(ANY_VECTOR), Ok((last, counters)));
    }
    send(&sim, 0);
    assert_eq!(messages::Client(&plugin).heard(), Ok(9), "it is enabled still");
    assert_eq!(sim.log().len(), said, "no callback has run: {:?}", sim.log());
}

#[test]
fn what_the_app_allows_has_to_fit_what_there_is() {
    let sim = bound();
    let plugin = connect(&sim);
    let app = plugin.connection();
    for (kinds, min, max) in [(kind::LINE | kind::MSI, 1, 4), (kind::ANY, 5, 9), (kind::ANY, 1, 3), (kind::ANY, 1, 1)] {
        let enabled = app.int_enable(kinds, min, max, &[]);
        assert_eq!(enabled, Err(Status::NO_INTERRUPT.into()), "{kinds} {min}..={max}");
    }
    assert_eq!(app.int_enable(kind::ANY, 1, 4, &[0]), Err(Status::BAD_FIELD.into()), "nobody would read it");
    for (kinds, min, max) in [(kind::MSIX, 4, 4), (kind::ANY, 1, 2048), (kind::MSIX | kind::LINE, 2, 5)] {
        assert_eq!(app.int_enable(kinds, min, max, &[]).unwrap().count, 4);
        app.int_disable().unwrap();
    }
}

#[test]
fn one_session_listens_at_a_time() {
    let sim = bound();
    let [one, two] = [(); 2].map(|()| connect(&sim));
    let (one, two) = (one.connection(), two.connection());
    let owned = Err(Status::INTERRUPT_OWNED.into());
    assert_eq!(one.int_disable().map(drop), Err(Status::NOT_ENABLED.into()));
    assert_eq!(one.int_wait(0, ANY_VECTOR, 1).map(drop), Err(Status::NOT_ENABLED.into()));
    one.int_enable(kind::ANY, 1, 4, &[]).unwrap();
    assert_eq!(one.int_enable(kind::ANY, 1, 4, &[]).map(drop), Err(Status::ALREADY_ENABLED.into()));
    assert_eq!(two.int_enable(kind::ANY, 1, 4, &[]).map(drop), owned);
    assert_eq!(two.int_wait(0, ANY_VECTOR, 1).map(drop), owned);
    assert_eq!(two.int_disable().map(drop), owned);
    one.close().unwrap();
    two.int_enable(kind::ANY, 1, 4, &[]).unwrap();
    send(&sim, 0);
    assert_eq!(two.int_wait(0, ANY_VECTOR, 9).unwrap().got, 1);
}

/// How a listening ends while a wait of it is pending.
#[test]
fn waits_end_with_their_listening() {
    for (closes, answer) in [(false, Status::INT_DISABLED), (true, Status::CLOSED)] {
        explore(0..60, |world| {
            let sim = bound();
            let plugin = connect(&sim);
            let app = plugin.connection();
            app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
            world.scope(|scope| {
                scope.spawn("waiter", || {
                    assert_eq!(app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1), Err(answer.into()));
                });
                scope.spawn("ender", || {
                    while app.query(0).unwrap().waits == 0 {}
                    if closes { app.close().unwrap() } else { app.int_disable().map(drop).unwrap() }
                });
            });
        });
    }
}

/// Sessions listen and go, by INT_DISABLE and by close, while interrupts come: nobody is woken who has gone, which the simulator sees, and the
/// counters add up.
#[test]
fn sessions_come_and_go_under_interrupts() {
    let mut delivered = 0;
    explore(0..300, |world| {
        let sim = bound();
        let driver = connect(&sim);
        world.scope(|scope| {
            scope.spawn("device", || (0..6).for_each(|_| messages::Client(&driver).send(0).unwrap()));
            for name in ["one", "two"] {
                let sim = &sim;
                scope.spawn(name, move || {
                    for _ in 0..2 {
                        let plugin = connect(sim);
                        let app = plugin.connection();
                        if app.int_enable(kind::ANY, 1, 4, &[]).is_ok() {
                            let _ = app.int_wait(1_000, ANY_VECTOR, 1);
                        }
                        if name == "one" {
                            let _ = app.int_disable();
                        }
                    }
                });
            }
        });
        // Messages of one vector merge if they come before its handler runs.
        let count = || driver.connection().int_count(ANY_VECTOR).unwrap().1;
        messages::Client(&driver).wait_for(1).unwrap();
        while count().notified != count().deferred {}
        let counters = count();
        assert_eq!((counters.available, counters.notified), (0, counters.delivered + counters.lost));
        delivered += counters.delivered;
    });
    assert!(delivered > 20, "no schedule has had a listener hear: {delivered}");
}

/// A session goes in the middle of a DPC that wakes it: it is freed when that is over, or the simulator says that its queue was freed before.
#[test]
fn who_goes_is_not_freed_under_a_wake_up() {
    explore(0..1500, |world| {
        let sim = bound();
        let (listener, driver) = (connect(&sim), connect(&sim));
        listener.connection().int_enable(kind::ANY, 1, 4, &[]).unwrap();
        world.scope(|scope| {
            scope.spawn("device", || (0..2).for_each(|_| messages::Client(&driver).send(0).unwrap()));
            scope.spawn("listener", move || drop(listener));
        });
    });
}

/// A reset that fails ends the listening, while its session ends it too and goes.
#[test]
fn who_goes_is_not_freed_under_the_end_of_its_listening() {
    for closes in [true, false] {
        explore(0..600, |world| {
            let sim = bound();
            let (listener, driver) = (connect(&sim), connect(&sim));
            listener.connection().int_enable(kind::ANY, 1, 4, &[]).unwrap();
            order(&sim, REFUSE_ENABLE);
            let sim = &sim;
            world.scope(|scope| {
                scope.spawn("reset", || _ = messages::Client(&driver).reset());
                scope.spawn("listener", move || {
                    while sim.device(|card: &mut Card| card.resets) == 0 {
                        listener.connection().query(0).unwrap();
                    }
                    if !closes {
                        let _ = listener.connection().int_disable();
                    }
                    drop(listener);
                });
            });
        });
    }
}

/// A wait says that the listening is over before the reset that ended it is.
#[test]
fn who_is_told_that_its_listening_is_over_can_listen_again() {
    explore(0..300, |world| {
        let sim = bound();
        let (listener, driver) = (connect(&sim), connect(&sim));
        let app = listener.connection();
        app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        sim.device(|card: &mut Card| card.vectors = 2);
        world.scope(|scope| {
            scope.spawn("reset", || messages::Client(&driver).reset().unwrap());
            scope.spawn("listener", || {
                let told = app.int_wait(NO_TIMEOUT, ANY_VECTOR, 1).unwrap_err();
                assert!([Status::INT_DISABLED, Status::NOT_ENABLED].contains(&told.status), "{told:?}");
                let again = app.int_enable(kind::ANY, 1, 4, &[]).map(drop);
                // Before the reset is through there is nothing to listen to.
                assert!(again.is_ok() || again == Err(Status::NO_INTERRUPT.into()), "{again:?}");
            });
        });
    });
}

/// The page has all of them, from the enabling on, and keeps the last when the listening is over.
#[test]
fn the_kernel_page_shows_the_counters_of_who_listens() {
    let sim = bound();
    let plugin = connect(&sim);
    let app = plugin.connection();
    plugin.set_up_ring(8, 0).unwrap();
    let shown = || plugin.with_ring(|ring| ring.unwrap().counters(ANY_VECTOR)).unwrap();
    send(&sim, 3);
    assert_eq!(shown().0, 0, "nobody listens");
    app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
    assert_eq!(shown(), app.int_count(ANY_VECTOR).unwrap());
    assert_eq!(shown().1.lost, 1, "what came before");
    (0..2).for_each(|vector| send(&sim, vector));
    assert_eq!(shown(), app.int_count(ANY_VECTOR).unwrap());
    app.int_wait(0, ANY_VECTOR, 1).unwrap();
    assert_eq!(shown(), app.int_count(ANY_VECTOR).unwrap());
    let ended = app.int_disable().unwrap();
    send(&sim, 0);
    assert_eq!(shown(), ended, "final figures stay");
}

/// The ISR does not touch it: who listens may go at any moment.
#[test]
fn what_the_isr_counts_is_in_the_page_with_the_next_dpc() {
    let sim = bound();
    let plugin = connect(&sim);
    plugin.set_up_ring(8, 0).unwrap();
    let shown = || plugin.with_ring(|ring| ring.unwrap().counters(ANY_VECTOR)).unwrap().1;
    plugin.connection().int_enable(kind::ANY, 1, 4, &[]).unwrap();
    for orders in [NOT_MINE, DONE] {
        order(&sim, orders);
        send(&sim, 0);
    }
    assert_eq!((shown().received, shown().spurious), (0, 0));
    order(&sim, 0);
    send(&sim, 0);
    assert_eq!((shown().received, shown().spurious, shown().deferred), (2, 1, 1));
}

/// The guard against storms is as for an app's; what it has masked, a reset gives back.
#[test]
fn a_storm_is_told_to_whoever_listens_until_the_card_is_reset() {
    let sim = bound();
    let plugin = connect(&sim);
    let app = plugin.connection();
    order(&sim, STUCK);
    send(&sim, 0);
    assert!(sim.log().iter().any(|line| line.contains("an interrupt never ends")));
    for _ in 0..2 {
        app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
        assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1), Err(Status::INTERRUPT_STORM.into()));
        app.int_disable().unwrap();
    }
    order(&sim, 0);
    app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
    messages::Client(&plugin).reset().unwrap();
    assert_eq!(app.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()));
    for _ in 0..3 {
        send(&sim, 0);
        assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1).unwrap().got, 1);
    }
    assert_eq!(sim.storms(), 1);
}

/// A device that sleeps does not interrupt; who listens does still when it is awake.
#[test]
fn who_listens_listens_through_a_sleep_and_a_reset_by_others() {
    let sim = bound();
    let plugin = connect(&sim);
    let app = plugin.connection();
    let enabled = app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
    sim.suspend();
    send(&sim, 0);
    sim.resume();
    sim.reset();
    assert_eq!(app.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()));
    send(&sim, 1);
    let got = app.int_wait(SECOND, ANY_VECTOR, 1).unwrap();
    assert_eq!((got.got, got.generation), (1, enabled.generation));
    assert_eq!(sim.log().len(), 3, "it was enabled once: {:?}", sim.log());
}

/// No app has to listen for that. In its handler the plugin sees to it that the card is awake.
#[test]
fn it_is_down_while_its_device_sleeps_and_there_again_without_an_app() {
    let sim = bound();
    let plugin = connect(&sim);
    let heard = || messages::Client(&plugin).heard();
    for sleeps in 0..3 {
        sim.suspend();
        send(&sim, 0);
        sim.resume();
        assert_eq!(heard(), Ok(sleeps), "what came meanwhile is nobody's");
        send(&sim, 1);
        assert_eq!(heard(), Ok(sleeps + 1));
    }
    assert_eq!(plugin.connection().int_count(ANY_VECTOR).unwrap().1.received, 3);
    assert_eq!(sim.log().len(), 3, "it was enabled once: {:?}", sim.log());
}

#[test]
fn nobody_listens_to_what_is_gone() {
    let sim = bound();
    let plugin = connect(&sim);
    let app = plugin.connection();
    app.int_enable(kind::ANY, 1, 4, &[]).unwrap();
    sim.remove(true);
    for _ in 0..2 {
        assert_eq!(app.int_enable(kind::ANY, 1, 4, &[]).map(drop), Err(Status::DEVICE_GONE.into()));
        assert_eq!(app.int_wait(0, ANY_VECTOR, 1).map(drop), Err(Status::DEVICE_GONE.into()));
    }
}
