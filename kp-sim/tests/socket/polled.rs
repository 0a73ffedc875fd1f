//! The connection for poll(2): it is readable when a notification can be taken, and hung up when the session is over.
use crate::{
    client::{Place, Raw, plugin, server, until},
    test_plugin::messages,
};
use kp_abi::socket::kind;
use kp_user::{Enable, Interrupts, Plugin};

/// A session with the interrupt enabled, and its poll connection.
fn enabled(place: &Place) -> (Plugin, Interrupts, Raw) {
    let (raw, handle) = Raw::open(place);
    let plugin = plugin(raw);
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    let poll = Raw::more(place, kind::POLL, handle);
    (plugin, interrupts, poll)
}

#[test]
fn it_is_readable_while_a_notification_can_be_taken() {
    let (server, place) = server();
    let (plugin, interrupts, poll) = enabled(&place);
    let client = messages::Client(&plugin);
    assert!(!poll.has_bytes());
    for _ in 0..3 {
        client.raise(1).unwrap();
        assert!(poll.bytes() > 0);
        interrupts.try_take().unwrap();
        // Whatever was said of that one is in there by now.
        while poll.has_bytes() {}
    }
    client.raise(1).unwrap();
    client.raise(1).unwrap();
    until("both have come", || interrupts.counters().unwrap().available == 2);
    while poll.has_bytes() {}
    assert_eq!(interrupts.try_take().unwrap().available, 1);
    assert!(poll.has_bytes(), "what is left was said before the answer");
    drop(interrupts);
    drop(plugin);
    server.end();
}

#[test]
fn what_was_there_before_it_is_said_at_once() {
    let (server, place) = server();
    let (raw, handle) = Raw::open(&place);
    let plugin = plugin(raw);
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    messages::Client(&plugin).raise(1).unwrap();
    assert!(Raw::more(&place, kind::POLL, handle).bytes() > 0);
    drop(interrupts);
    drop(plugin);
    server.end();
}

#[test]
fn the_end_of_the_session_hangs_it_up() {
    let (server, place) = server();
    let (plugin, interrupts, poll) = enabled(&place);
    plugin.connection().close().unwrap();
    assert_eq!(poll.bytes(), 0);
    drop((interrupts, plugin));
    let (plugin, interrupts, poll) = enabled(&place);
    server.sim().remove(false);
    assert_eq!(poll.bytes(), 0, "the device is gone");
    drop((interrupts, plugin));
    server.end();
}

#[test]
fn one_that_nobody_empties_holds_up_nobody() {
    let (server, place) = server();
    let (plugin, interrupts, poll) = enabled(&place);
    let client = messages::Client(&plugin);
    for _ in 0..2000 {
        client.raise(1).unwrap();
        client.raise(1).unwrap();
        interrupts.try_take().unwrap();
    }
    assert!(poll.bytes() > 0);
    drop((interrupts, plugin, poll));
    server.end();
}
