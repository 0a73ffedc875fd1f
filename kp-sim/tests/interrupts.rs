//! Interrupts in the simulated kernel, free and by schedule.
mod part;

use kp_abi::{
    Status,
    request::{ANY_VECTOR, kind},
};
use kp_sim::{Sim, edu::Edu, find};
use kp_user::Connection;
use part::{Part, part as messages};

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_line_and_a_message_bring_notifications() {
    for wanted in [kind::LINE, kind::MSI] {
        let sim = Sim::<Part>::with(Edu::new()).unwrap();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        let (app, client) = (plugin.connection(), messages::Client(&plugin));
        assert_eq!(app.int_enable(wanted, 1, 1, &[]).unwrap().kind, wanted);
        for _ in 0..3 {
            client.raise(5).unwrap();
        }
        let got = app.int_wait(SECOND, ANY_VECTOR, 16).unwrap();
        assert_eq!((got.got, got.available), (3, 0), "with kind {wanted}");
        let (_, counters) = app.int_disable().unwrap();
        assert_eq!((counters.received, counters.deferred, counters.notified, counters.delivered), (3, 3, 3, 3));
    }
}

#[test]
fn a_machine_without_a_kind_refuses_it() {
    let sim = Sim::<Part>::builder().device(Edu::new()).kinds(kind::LINE).build().unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let app = plugin.connection();
    assert_eq!(app.int_enable(kind::MSI, 1, 1, &[]), Err(Status::NO_INTERRUPT.into()));
    assert_eq!(app.int_enable(kind::ANY, 1, 1, &[]).unwrap().kind, kind::LINE);
}

#[test]
fn a_wait_ends_when_its_time_is_up_and_when_a_signal_comes() {
    let sim = Sim::<Part>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let connection = plugin.connection();
    connection.int_enable(kind::ANY, 1, 1, &[]).unwrap();
    assert_eq!(connection.int_wait(20_000_000, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()));
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()));

    let app = sim.open();
    app.interrupt();
    let mut open = kp_abi::request::Open::default();
    open.head.size = size_of::<kp_abi::request::Open>() as u32;
    open.abi_major = kp_abi::limits::ABI_MAJOR;
    open.fingerprint = messages::INTERFACE.chain(0);
    app.open(&mut open, &[]).unwrap();
    connection.int_disable().unwrap();
    app.int_enable(kind::ANY, 1, 1, &[]).unwrap();
    assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1), Err(Status::INTERRUPTED.into()));
    assert_eq!(app.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()), "the signal was handled");
}

#[test]
fn a_line_that_never_ends_is_masked() {
    let sim = Sim::<Part>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let (app, client) = (plugin.connection(), messages::Client(&plugin));
    app.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    client.stick().unwrap();
    client.raise(1).unwrap();
    assert_eq!(app.int_wait(SECOND, ANY_VECTOR, 1), Err(Status::INTERRUPT_STORM.into()));
    assert!(sim.log().iter().any(|line| line.contains("an interrupt never ends")));
    app.int_disable().unwrap();
}

/// Deferrals that come before the DPC runs are one run with their count; none is lost, whatever the order.
#[test]
fn deferrals_merge_before_a_dpc_and_none_is_lost() {
    let mut merged = 0;
    let failed = find(0..60, |world| {
        let sim = Sim::<Part>::with(Edu::new()).unwrap();
        let app = sim.connect(messages::INTERFACE).unwrap();
        app.connection().int_enable(kind::ANY, 1, 1, &[]).unwrap();
        world.scope(|scope| {
            for name in ["first", "second"] {
                let app = &app;
                scope.spawn(name, move || {
                    for _ in 0..4 {
                        messages::Client(app).raise(1).unwrap();
                    }
                });
            }
        });
        let (_, counters) = app.connection().int_disable().unwrap();
        assert_eq!(counters.notified, counters.deferred, "each DPC run gave its count on");
        assert_eq!(counters.received, counters.deferred);
        assert_eq!(counters.notified, counters.delivered + counters.available + counters.lost);
        merged += u32::from(counters.dpc_runs < counters.deferred);
    });
    assert_eq!(failed, None);
    assert!(merged > 0, "no schedule merged two deferrals");
}
