//! How waits, handles and the server end.
use crate::{
    client::{Place, Raw, code, nap, plugin, server, until, wait},
    test_plugin::messages,
};
use kp_abi::{
    Status,
    request::{Call, Head, IntWait},
    socket::kind,
    zerocopy::{FromBytes, IntoBytes},
};
use kp_sim::Live;
use kp_user::{Enable, Interrupts, Plugin};
use std::{thread, time::Duration};

/// A session with the interrupt enabled, and another connection that waits for it.
fn waiting(place: &Place) -> (Plugin, Interrupts, Raw) {
    let (raw, handle) = Raw::open(place);
    let plugin = plugin(raw);
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    let more = Raw::more(place, kind::MORE, handle);
    more.send_request(code::<IntWait>(), wait().as_bytes(), size_of::<IntWait>() as u32);
    until("the wait is under way", || plugin.query().unwrap().waits == 1);
    (plugin, interrupts, more)
}

/// The status that a wait was answered with.
fn answer(raw: &Raw) -> Status {
    let reply = raw.reply().expect("an answer").expect("the transport has not failed");
    Status(Head::read_from_prefix(&reply).unwrap().0.status)
}

#[test]
fn a_wait_ends_with_what_ended_it() {
    let (server, place) = server();
    let (plugin, interrupts, more) = waiting(&place);
    messages::Client(&plugin).raise(1).unwrap();
    assert_eq!(answer(&more), Status::OK);
    drop((plugin, interrupts));
    let (plugin, interrupts, more) = waiting(&place);
    interrupts.disable().unwrap();
    assert_eq!(answer(&more), Status::INT_DISABLED);
    drop(plugin);
    let (plugin, interrupts, more) = waiting(&place);
    plugin.connection().close().unwrap();
    assert_eq!(answer(&more), Status::CLOSED);
    drop((plugin, interrupts));
    let (plugin, interrupts, more) = waiting(&place);
    server.sim().remove(false);
    assert_eq!(answer(&more), Status::DEVICE_GONE);
    assert_eq!(messages::Client(&plugin).seen(), Err(Status::DEVICE_GONE.into()));
    drop((plugin, interrupts));
    assert_eq!(Raw::hello(&place, kind::OPEN, 0).1, Err(Status::DEVICE_GONE), "nobody opens it any more");
    assert_eq!(server.end(), Live::default());
}

#[test]
fn a_client_that_closes_a_connection_ends_what_it_waits_for_there() {
    let (server, place) = server();
    let (plugin, interrupts, more) = waiting(&place);
    drop(more);
    until("the wait has ended", || plugin.query().unwrap().waits == 0);
    messages::Client(&plugin).raise(1).unwrap();
    assert_eq!(interrupts.wait(Duration::from_secs(10)).unwrap().got, 1, "it has taken nothing with it");
    drop((plugin, interrupts));
    server.end();
}

#[test]
fn the_end_of_the_first_connection_is_the_end_of_the_handle() {
    let (server, place) = server();
    let (raw, handle) = Raw::open(&place);
    let more = Raw::more(&place, kind::MORE, handle);
    let poll = Raw::more(&place, kind::POLL, handle);
    let plugin = plugin(more);
    let sleeper = Raw::more(&place, kind::MORE, handle);
    sleeper.send_request(code::<Call>(), &nap(), 64);
    until("the call is under way", || plugin.query().unwrap().calls == 1);
    raw.close();
    // It has said that it is closed once the session is released.
    assert_eq!(server.sim().live().handles, 0);
    assert!(sleeper.reply().is_none());
    assert_eq!(poll.bytes(), 0);
    assert!(messages::Client(&plugin).seen().is_err());
    server.end();
}

#[test]
fn two_apps_have_sessions_of_their_own() {
    let (server, place) = server();
    let texts = [b"one".as_slice(), b"the other"];
    thread::scope(|scope| {
        for text in texts {
            let place = &place;
            scope.spawn(move || {
                let plugin = plugin(Raw::open(place).0);
                let client = messages::Client(&plugin);
                for _ in 0..200 {
                    assert_eq!(client.keep(text), Ok(text.len() as u32));
                    assert_eq!(client.kept(&mut [0; 64]), Ok(text));
                    assert_eq!(client.factorial(6), Ok(720));
                }
            });
        }
    });
    server.end();
}

#[test]
fn the_servers_end_ends_each_request() {
    let (server, place) = server();
    let (plugin, interrupts, more) = waiting(&place);
    let (raw, handle) = Raw::open(&place);
    let other = crate::client::plugin(raw);
    let napping = Raw::more(&place, kind::MORE, handle);
    napping.send_request(code::<Call>(), &nap(), 64);
    until("the call is under way", || other.query().unwrap().calls == 1);
    let silent = Raw::silent(&place);
    assert_eq!(server.end(), Live::default());
    assert!(!place.path().exists());
    assert!(more.reply().is_none() && napping.reply().is_none() && silent.bytes() == 0);
    drop(other);
    assert_eq!(messages::Client(&plugin).seen(), Err(Status::DEVICE_GONE.into()));
    drop((plugin, interrupts));
}

#[test]
fn time_goes_on_though_nobody_asks() {
    let (server, _place) = server();
    let began = server.sim().now_ns();
    until("50 ms", || server.sim().now_ns() >= began + 50_000_000);
    server.end();
}
