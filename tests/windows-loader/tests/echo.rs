//! echo's real .sys.
use kp_abi::{
    Status,
    request::{self, Call, Head, Query, Request},
    zerocopy::{FromBytes, IntoBytes},
};
use windows_loader::{Buffer, Machine, Mode, Stopped, Token, access, build};

const READ_WRITE: u32 = access::READ | access::WRITE;

#[test]
#[ignore = "needs Debian's compiler for Windows; run by `cargo kp test`"]
fn it_loads_answers_and_leaves_nothing() {
    let machine = Machine::default();
    let driver = machine.start(&build("echo").unwrap()).unwrap();
    let process = machine.process(Token::Administrator);
    let handle = process.open(r"\\.\kp-echo", READ_WRITE, Mode::Overlapped).unwrap();
    let mut query = Query::new();
    query.head().size = size_of::<Query>() as u32;
    let bytes = query.as_mut_bytes();
    let done = handle.control(control_code(Query::NR), Buffer::input(bytes), Buffer::output(bytes));
    assert_eq!((done.status, done.information), (0, size_of::<Query>()));
    assert_eq!(query.head.status, Status::OK.0);
    let mut call = Call { message: 1, ..Call::new() };
    let mut reply = [0; 64];
    let done = handle.control(control_code(Call::NR), Buffer::input(call.as_mut_bytes()), Buffer::output(&mut reply));
    assert_eq!((done.status, head(&reply).status), (0, Status::NOT_OPEN.0));
    assert_eq!(driver.stop(), Ok(Stopped::Pending));
    assert!(process.open(r"\\.\kp-echo", READ_WRITE, Mode::Overlapped).is_err(), "nobody opens it any more");
    handle.close();
    driver.wait_until_unloaded();
    machine.finish();
}

/// A request's control code.
fn control_code(nr: u32) -> u32 {
    request::control_code(nr).expect("such a request")
}

/// The head of a reply.
fn head(reply: &[u8]) -> Head {
    Head::read_from_prefix(reply).expect("a reply has a head").0
}
