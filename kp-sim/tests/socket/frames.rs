//! Frames: what is answered, and what is refused.
use crate::{
    client::{Place, Raw, code, nap, plugin, server, until},
    test_plugin::{TestPlugin, messages},
};
use kp_abi::{
    Status, TransportStatus,
    request::{BufferRegister, Call, Head, Query, Request, RingSetup},
    socket::{MAX_BUFFER, RequestFrame, kind},
    zerocopy::{FromBytes, IntoBytes},
};
use kp_sim::{
    Live, Sim,
    edu::Edu,
    socket::{Server, StartError},
};
use kp_user::Enable;
use std::{fs, os::unix::net::UnixListener, time::Duration};

fn unknown() -> Status {
    TransportStatus::UNKNOWN_REQUEST.status()
}

#[test]
fn a_session_over_a_socket_is_as_any_other() {
    let (server, place) = server();
    let plugin = plugin(Raw::open(&place).0);
    let client = messages::Client(&plugin);
    assert_eq!(client.factorial(5), Ok(120));
    assert_eq!(client.keep(&[7; 1000]), Ok(1000));
    assert_eq!(client.kept(&mut [0; 1000]), Ok(&[7; 1000][..]));
    assert_eq!(client.kept(&mut [0; 10]).map_err(|error| error.status), Err(Status::OUTPUT_LENGTH));
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    client.raise(1).unwrap();
    assert_eq!(interrupts.wait(Duration::from_secs(10)).unwrap().got, 1);
    assert_eq!(interrupts.wait(Duration::from_millis(1)).map(|_| ()), Err(Status::TIMEOUT.into()));
    assert_eq!(interrupts.disable().unwrap().received, 1);
    drop(plugin);
    assert_eq!(server.end(), Live::default());
}

#[test]
fn a_hello_that_is_none_is_refused() {
    let (server, place) = server();
    let silent = Raw::silent(&place);
    silent.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(silent.bytes(), 0, "it is closed without a word");
    assert_eq!(Raw::hello(&place, 3, 0).1, Err(unknown()));
    assert_eq!(Raw::hello(&place, kind::OPEN, 1).1, Err(unknown()));
    let (raw, handle) = Raw::open(&place);
    for kind in [kind::MORE, kind::POLL] {
        assert_eq!(Raw::hello(&place, kind, handle ^ 1).1, Err(Status::CLOSED));
    }
    raw.close();
    assert_eq!(Raw::hello(&place, kind::MORE, handle).1, Err(Status::CLOSED), "its handle is closed");
    server.end();
}

#[test]
fn the_out_buffer_has_the_struct_back_and_no_more_than_was_asked_for() {
    let (server, place) = server();
    let (raw, _) = Raw::open(&place);
    let query = Query { chain_at: 3, ..Query::new() };
    for room in [size_of::<Head>(), 24, size_of::<Query>(), size_of::<Query>() + 8] {
        raw.send_request(code::<Query>(), query.as_bytes(), room as u32);
        let output = raw.reply().unwrap().unwrap();
        assert_eq!(output.len(), room.min(size_of::<Query>()));
        let head = Head::read_from_bytes(&output[..size_of::<Head>()]).unwrap();
        assert_eq!((head.size as usize, head.status), (size_of::<Query>(), 0));
        assert!(room < 20 || output[16..20] == 3_u32.to_le_bytes(), "what was asked is there too");
    }
    server.end();
}

#[test]
fn what_has_no_room_and_what_is_no_request_is_answered_and_the_connection_goes_on() {
    let (server, place) = server();
    let (raw, _) = Raw::open(&place);
    let query = Query::new();
    let refused = |code, input: &[u8], room| {
        raw.send_request(code, input, room);
        raw.reply().unwrap().unwrap_err()
    };
    let too_small = TransportStatus::HEADER_TOO_SMALL.status();
    assert_eq!(refused(code::<Query>(), &query.as_bytes()[..15], 176), too_small);
    assert_eq!(refused(code::<Query>(), query.as_bytes(), 15), too_small);
    assert_eq!(refused(code::<Query>() + 1, query.as_bytes(), 176), unknown(), "with another method");
    assert_eq!(refused(0, query.as_bytes(), 176), unknown());
    assert_eq!(refused(code::<BufferRegister>(), BufferRegister::new().as_bytes(), 4096), unknown());
    let fault = TransportStatus::FAULT.status();
    let call = Call { message: 2, args_len: 8, ..Call::new() };
    assert_eq!(refused(code::<Call>(), &[call.as_bytes(), &[0; 7]].concat(), 64), fault, "it lacks a byte");
    let elsewhere = Call { args_addr: 8, ..call };
    assert_eq!(refused(code::<Call>(), &[elsewhere.as_bytes(), &[0; 8]].concat(), 64), fault, "an address");
    raw.send_request(code::<Query>(), query.as_bytes(), 176);
    assert!(raw.reply().unwrap().is_ok());

    let plugin = plugin(raw);
    assert!(!plugin.has_buffers());
    let ring = plugin.connection().ring_setup(&mut RingSetup { entries: 8, ..RingSetup::new() });
    assert_eq!(ring, Err(unknown().into()));
    drop(plugin);
    server.end();
}

#[test]
fn a_frame_that_breaks_the_rules_ends_its_connection_alone() {
    let (server, place) = server();
    let other = plugin(Raw::open(&place).0);
    let good = RequestFrame { code: code::<Query>(), in_len: 176, out_len: 176, reserved: 0 };
    for bad in [
        RequestFrame { in_len: MAX_BUFFER + 1, ..good },
        RequestFrame { out_len: MAX_BUFFER + 1, ..good },
        RequestFrame { in_len: u32::MAX, out_len: u32::MAX, ..good },
        RequestFrame { reserved: 1, ..good },
    ] {
        let (raw, _) = Raw::open(&place);
        raw.send(bad.as_bytes());
        assert!(raw.reply().is_none(), "{bad:?}");
    }
    // As long as may be.
    let (raw, _) = Raw::open(&place);
    let mut longest = vec![0; MAX_BUFFER as usize];
    longest[..176].copy_from_slice(Query::new().as_bytes());
    raw.send_request(code::<Query>(), &longest, MAX_BUFFER);
    assert_eq!(raw.reply().unwrap().unwrap().len(), 176);
    assert_eq!(messages::Client(&other).factorial(3), Ok(6));
    drop(other);
    server.end();
}

#[test]
fn a_second_request_before_the_answer_ends_the_connection_and_the_first_one() {
    let (server, place) = server();
    let (raw, handle) = Raw::open(&place);
    let plugin = plugin(raw);
    let more = Raw::more(&place, kind::MORE, handle);
    more.send_request(code::<Call>(), &nap(), 64);
    until("the call is under way", || plugin.query().unwrap().calls == 1);
    more.send_request(code::<Query>(), Query::new().as_bytes(), 176);
    assert!(more.reply().is_none(), "it is closed without an answer");
    until("the call has ended", || plugin.query().unwrap().calls == 0);
    assert_eq!(messages::Client(&plugin).factorial(4), Ok(24), "the handle's other connection goes on");
    drop(plugin);
    server.end();
}

#[test]
fn each_request_is_a_line_of_the_record() {
    let (place, record) = (Place::new(), Place::new());
    let server =
        Server::<TestPlugin>::start(Sim::builder().device(Edu::new()), &place.path(), Some(&record.path())).unwrap();
    let plugin = plugin(Raw::open(&place).0);
    messages::Client(&plugin).factorial(5).unwrap();
    drop(plugin);
    server.end();
    let text = fs::read_to_string(record.path()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let names: Vec<&str> = lines.iter().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(names, ["Open", "Call", "Close"]);
    // Its head; the message, its lengths; no addresses; the argument. Nothing differs from run to run.
    let head = "3800000000000000ffffffff00000000";
    let parts = [head, "05000000040000000000000004000000", &"0".repeat(48), "0500000000000000"].concat();
    assert!(lines[1].contains(&parts), "{}", lines[1]);
    assert!(lines[1].starts_with("{\"request\":\"Call\",\"code\":\"0x8b50"), "{}", lines[1]);
}

#[test]
fn a_socket_that_somebody_listens_at_is_left_alone_and_a_dead_one_is_replaced() {
    let place = Place::new();
    let start = || Server::<TestPlugin>::start(Sim::builder().device(Edu::new()), &place.path(), None);
    drop(UnixListener::bind(place.path()).unwrap());
    let first = start().unwrap();
    assert!(matches!(start(), Err(StartError::Exists)));
    let plugin = plugin(Raw::open(&place).0);
    assert_eq!(messages::Client(&plugin).factorial(4), Ok(24));
    drop(plugin);
    first.end();
    assert!(!place.path().exists());
    fs::write(place.path(), "a file").unwrap();
    assert!(matches!(start(), Err(StartError::Exists)));
    assert_eq!(fs::read_to_string(place.path()).unwrap(), "a file");
}
