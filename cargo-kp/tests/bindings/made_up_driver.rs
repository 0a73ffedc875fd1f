//! What a program over the bindings looks at: before it sends, and when a driver's answer is none. The driver here says whatever it was told to.
use crate::{bindings, folder::Folder};
use cargo_kp::bindings::Language;
use kp_abi::{
    Status, TransportStatus,
    request::{self, Request, RequestNr, of_control_code},
    socket::{Hello, MAGIC, ReplyFrame, RequestFrame, Welcome, kind},
    zerocopy::{FromBytes, FromZeros, IntoBytes},
};
use kp_tool::schema::{Field, Method, Schema, Type, Value};
use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

/// The interface that the program was made for: the driver has its first five messages.
fn probe() -> Schema {
    let value = |name: &str, value| Value { name: name.to_owned(), value };
    let field = |name: &str, offset, ty: &Type| Field { name: name.to_owned(), offset, ty: ty.clone() };
    let word = |size| Type::Uint { size };
    let list = |size| Type::Slice { element: Box::new(word(size)) };
    let mode = Type::Enum { name: "Mode".into(), size: 1, values: vec![value("Off", 0), value("On", 1)] };
    let bits = Type::Flags { name: "Bits".into(), size: 4, values: vec![value("A", 1), value("B", 2)] };
    let fields = vec![field("a", 0, &word(2)), field("on", 2, &Type::Bool), field("reserved", 3, &word(1))];
    let pair = Type::Struct { name: "Pair".into(), size: 4, fields };
    let four = Type::Array { element: Box::new(Type::Bool), length: 4 };
    let messages = [
        ("mode", vec![field("mode", 0, &mode)], mode.clone()),
        ("both", vec![field("bits", 0, &bits), field("pair", 4, &pair)], pair.clone()),
        ("list", vec![field("words", 0, &list(4))], list(2)),
        ("four", vec![], four),
        ("raise", vec![], Type::Unit),
        ("more", vec![], Type::Unit),
    ];
    let methods = messages.into_iter().zip(1..).map(|((name, args, reply), id)| Method {
        id,
        name: name.to_owned(),
        doc: None,
        retired: false,
        args,
        reply,
    });
    Schema::of("probe", 1, methods.collect()).expect("an interface")
}

/// How the driver answers a message: the status, the detail, and the bytes of reply.
type Answer = (Status, u32, &'static [u8]);

/// The answers, in the order of the calls that come.
const ANSWERS: &[Answer] = &[
    (Status::OK, 1, &[1]),
    (Status::OK, 1, &[7]),
    (Status::OK, 0, &[]),
    (Status::OK, 2, &[1]),
    (Status::OK, 4, &[0x34, 0x12, 1, 0]),
    (Status::OK, 4, &[0x34, 0x12, 2, 0]),
    (Status::OK, 4, &[0, 1, 0, 3]),
    (Status::OK, 3, &[1, 2, 3]),
    (Status::OK, 4, &[1, 0, 2, 0]),
    (Status::PLUGIN_ERROR, 17, &[]),
    (Status::OK, 0, &[]),
];

/// What the program says.
const SAID: &str = "\
open: Ok
has 1 1 0
a message that the driver has not: UnknownMessage
no value of an enum: BadValue
a value: Ok
a reply that is no value: Protocol
a reply that is too short: Protocol
a reply that is said to be too long: Protocol
no flag: BadValue
flags: Ok
1234 1
no bool: Protocol
no bool in an array: Protocol
data that are too long: PayloadTooLarge
data that are nowhere: Fault
room that is too long: PayloadTooLarge
half an element: Protocol
two elements: Ok
2: 1 2
the plugin's own error: PluginError
driver.sock: PluginError (17): The plugin's own error; detail = its number.
no kind: BadField
no vectors: BadField
a wait for none: BadField
readable 0
raise: Ok
readable 1
take: Ok
readable 0
close: Ok
after that: NotOpen
";

/// What the driver got: OPENs and CALLs with what is behind their structs, and how many bytes of answer there is room for.
const GOT: &[&str] = &[
    "Open 6",
    "Open 5",
    "Call 1: 0100000000000000, 17",
    "Call 1: 0100000000000000, 17",
    "Call 1: 0100000000000000, 17",
    "Call 1: 0100000000000000, 17",
    "Call 2: 0300000034120100, 20",
    "Call 2: 0000000034120100, 20",
    "Call 4: , 20",
    "Call 3: 00000000, 24",
    "Call 3: 00000000, 24",
    "Call 1: 0000000000000000, 17",
    "Call 5: , 16",
    "IntWait",
    "Close",
];

/// A driver that is nothing but a socket.
#[derive(Clone)]
struct Driver {
    schema: Arc<Schema>,
    got: Arc<Mutex<Vec<String>>>,
    poll: Arc<Mutex<Option<UnixStream>>>,
}

impl Driver {
    fn listen(self, listener: UnixListener) {
        for stream in listener.incoming() {
            let driver = self.clone();
            thread::spawn(move || driver.serve(stream.expect("it connects")));
        }
    }

    fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut hello = Hello::new_zeroed();
        stream.read_exact(hello.as_mut_bytes())?;
        assert_eq!((hello.magic, hello.handle), (MAGIC, if hello.kind == kind::OPEN { 0 } else { 7 }));
        // A client that has its answer finds the descriptor where it looks for it.
        let mut poll = self.poll.lock().expect("nobody panics with it");
        stream.write_all(Welcome { magic: MAGIC, status: 0, handle: 7 }.as_bytes())?;
        if hello.kind == kind::POLL {
            *poll = Some(stream);
            return Ok(());
        }
        drop(poll);
        loop {
            let mut frame = RequestFrame::new_zeroed();
            stream.read_exact(frame.as_mut_bytes())?;
            let mut input = vec![0; frame.in_len as usize];
            stream.read_exact(&mut input)?;
            let output = self.answer(&frame, &input);
            let reply = ReplyFrame { status: 0, out_len: output.len() as u32, reserved: [0; 2] };
            stream.write_all(&[reply.as_bytes(), &output].concat())?;
        }
    }

    fn tell(&self, line: String) -> usize {
        let mut got = self.got.lock().expect("nobody panics with it");
        got.push(line);
        got.iter().filter(|line| line.starts_with("Call")).count()
    }

    fn answer(&self, frame: &RequestFrame, input: &[u8]) -> Vec<u8> {
        let nr = of_control_code(frame.code).and_then(RequestNr::of);
        match nr {
            Some(RequestNr::Open) => {
                let mut open = request::Open::read_from_bytes(input).expect("a whole OPEN");
                let count = open.message_count as usize;
                let chain = |count: usize| self.schema.chains[count];
                assert_eq!(open.fingerprint, chain(count));
                assert_eq!((open.data_addr, open.data_len), (0, 0));
                self.tell(format!("Open {count}"));
                open.head.status = if count > 5 { Status::INTERFACE_MISMATCH.0 } else { 0 };
                (open.message_count, open.fingerprint) = (5, chain(5));
                open.as_bytes().to_vec()
            }
            Some(RequestNr::Call) => {
                let (call, behind) = request::Call::read_from_prefix(input).expect("a whole CALL");
                assert_eq!((call.args_addr, call.in_addr, call.out_addr), (0, 0, 0));
                assert_eq!(call.args_len.next_multiple_of(8) + call.in_len, behind.len() as u32);
                let bytes: String = behind.iter().map(|byte| format!("{byte:02x}")).collect();
                let at = self.tell(format!("Call {}: {bytes}, {}", call.message, frame.out_len));
                let (status, detail, reply) = ANSWERS[at - 1];
                if call.message == 5 {
                    // Two have come, and told of twice.
                    let mut poll = self.poll.lock().expect("nobody panics with it");
                    poll.as_mut().expect("it was asked for").write_all(&[1, 1]).expect("it is there");
                }
                let head = request::Head { status: status.0, detail, ..call.head };
                [head.as_bytes(), reply].concat()
            }
            Some(RequestNr::IntWait) => {
                self.tell("IntWait".to_owned());
                let mut wait = request::IntWait::read_from_bytes(input).expect("a whole INT_WAIT");
                (wait.head.status, wait.got) = (0, 1);
                wait.as_bytes().to_vec()
            }
            Some(RequestNr::Close) => {
                self.tell("Close".to_owned());
                let mut close = request::Close::new();
                close.head.status = 0;
                close.as_bytes().to_vec()
            }
            other => panic!("{other:?}, {}", TransportStatus::UNKNOWN_REQUEST.status()),
        }
    }
}

#[test]
fn nothing_is_sent_that_no_driver_takes_and_no_answer_is_taken_that_is_none() {
    let folder = Folder::new();
    folder.put(&bindings(Language::C, [probe()]));
    folder.write("probe.c", include_str!("../../../tests/bindings/probe.c"));
    folder.compile("gcc", "-std=c99 -Wall -Wextra -Werror -pedantic -g -pthread -o app probe.c");
    let listener = UnixListener::bind(folder.path().join("driver.sock")).expect("a socket can be made");
    let driver = Driver { schema: probe().into(), got: Arc::default(), poll: Arc::default() };
    let got = driver.got.clone();
    thread::spawn(move || driver.listen(listener));
    let mut app = Command::new(folder.path().join("app"));
    let output = app.current_dir(folder.path()).env("KP_NODE", "driver.sock").output().expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), SAID);
    assert_eq!(*got.lock().expect("nobody panics with it"), GOT);
}
