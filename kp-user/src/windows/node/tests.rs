//! The bytes that go to a driver, and what a node makes of its answers, without a driver.
use super::*;
use kp_abi::request::{CALL_NOWAIT, Call, IntEnable, IntWait, Open, Schema};
use kp_abi::{Error, TransportStatus};
use std::sync::Mutex;

/// Answers each request with the next step of its script, and keeps the code and the bytes that came.
struct Script {
    steps: Mutex<Vec<Step>>,
    seen: Mutex<Vec<(u32, Vec<u8>)>>,
    /// The memory of what was to stay pending.
    kept: Mutex<Vec<(u64, u64)>>,
    /// What the next of these are refused with.
    refuses: Mutex<Vec<Status>>,
}

type Step = fn(&[u8], &mut [u8]) -> Result<usize, Status>;

impl DeviceControl for Script {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        self.seen.lock().unwrap().push((code, input.to_vec()));
        let step = self.steps.lock().unwrap().remove(0);
        step(input, output)
    }

    fn keep(&self, code: u32, input: &[u8], start: u64, len: u64) -> Result<(), Status> {
        self.seen.lock().unwrap().push((code, input.to_vec()));
        self.kept.lock().unwrap().push((start, len));
        self.refuses.lock().unwrap().pop().map_or(Ok(()), Err)
    }

    #[cfg(windows)]
    fn handle(&self) -> Option<&Handle> {
        None
    }
}

fn node(steps: impl IntoIterator<Item = Step>) -> ControlNode<Script> {
    let steps = Mutex::new(steps.into_iter().collect());
    let (seen, kept, refuses) = Default::default();
    ControlNode { kernel: Script { steps, seen, kept, refuses } }
}

impl ControlNode<Script> {
    /// The struct of the request at `at`, and what followed it.
    fn seen<R: Request>(&self, at: usize) -> (R, Vec<u8>) {
        let seen = self.kernel.seen.lock().unwrap();
        let (code, bytes) = &seen[at];
        assert_eq!(Some(*code), control_code(R::NR));
        let (request, rest) = R::read_from_prefix(bytes).expect("a whole struct");
        (request, rest.to_vec())
    }
}

/// Writes a head, and a reply behind it, as a driver does.
fn reply(output: &mut [u8], status: Status, detail: u32, reply: &[u8]) -> Result<usize, Status> {
    output[8..12].copy_from_slice(&status.0.to_le_bytes());
    output[12..16].copy_from_slice(&detail.to_le_bytes());
    output[HEAD..HEAD + reply.len()].copy_from_slice(reply);
    Ok(HEAD + reply.len())
}

#[test]
fn arguments_and_data_follow_the_struct_at_a_multiple_of_8() {
    let done: Step = |_, output| reply(output, Status::OK, 0, &[]);
    for (args, data, padding) in [(0, 3, 0), (4, 5, 4), (8, 65_536, 0), (9, 0, 7)] {
        let (args, data) = (vec![1; args], vec![2; data]);
        let node = node([done]);
        node.call(7, CALL_NOWAIT, &args, &data, &mut [0; 24]).unwrap();
        let (call, rest) = node.seen::<Call>(0);
        assert_eq!((call.message, call.head.flags, call.head.size), (7, CALL_NOWAIT, 56));
        assert_eq!((call.args_len as usize, call.in_len as usize, call.out_len), (args.len(), data.len(), 24));
        assert_eq!((call.args_addr, call.in_addr, call.out_addr), (0, 0, 0));
        assert_eq!(rest, [args, vec![0; padding], data].concat());
    }
}

#[test]
fn open_data_and_enable_data_follow_the_struct() {
    let refused: Step = |input, output| {
        output.copy_from_slice(&input[..72]);
        output[32..36].copy_from_slice(&9u32.to_le_bytes());
        reply(output, Status::INTERFACE_MISMATCH, 0, &[])?;
        Ok(72)
    };
    let enabled: Step = |input, output| {
        output.copy_from_slice(&input[..56]);
        output[44..48].copy_from_slice(&3u32.to_le_bytes());
        reply(output, Status::OK, 0, &[])?;
        Ok(56)
    };
    let node = node([refused, enabled]);
    let mut open = Open { message_count: 5, ..Open::new() };
    assert_eq!(Connection::open(&node, &mut open, b"quiet"), Err(Status::INTERFACE_MISMATCH.into()));
    assert_eq!(open.message_count, 9, "the driver's count is there after the refusal");
    let (open, data) = node.seen::<Open>(0);
    assert_eq!((open.data_addr, open.data_len, &data[..]), (0, 5, &b"quiet"[..]));
    assert_eq!(node.int_enable(1, 1, 4, b"mode").unwrap().count, 3);
    let (enable, data) = node.seen::<IntEnable>(1);
    assert_eq!((enable.data_addr, enable.data_len, &data[..]), (0, 4, &b"mode"[..]));
}

#[test]
fn a_buffers_memory_is_the_out_buffer_and_what_no_driver_takes_reaches_it_in_the_struct_alone() {
    const MIB: u64 = 1 << 20;
    let node = node([]);
    for (addr, len, sent, room) in [
        (0x1000, MIB, 0, MIB),
        (0x1008, 4096, 8, 4096),
        (0x2FFF, 4096, 4095, 4096),
        (0x1000, 4095, 0, 4095),
        (0x1000, limits::MAX_BUFFER, 0, limits::MAX_BUFFER),
        (0x1000, limits::MAX_BUFFER + 4096, 0, 0),
        (0x1000, 1 << 33, 0, 0),
    ] {
        let of = request::BufferRegister { addr, len, buffer: 5, access: request::access::WRITE, ..Request::new() };
        node.buffer_register(&of).unwrap();
        assert_eq!(node.kernel.kept.lock().unwrap().pop(), Some((addr, room)));
        let (it, _) = node.seen::<request::BufferRegister>(0);
        assert_eq!((it.addr, it.len, it.buffer, it.access), (sent, len, 5, request::access::WRITE));
        node.kernel.seen.lock().unwrap().clear();
    }
}

#[test]
fn a_ring_is_made_of_memory_that_is_registered_for_it_and_whose_number_is_released_at_once() {
    const ENTRIES: u32 = 4;
    let layout = kp_abi::ring::Layout::new(ENTRIES, 100).expect("such a ring may be");
    let made: Step = |input, output| {
        let mut setup = request::RingSetup::read_from_bytes(input).expect("the struct");
        let layout = kp_abi::ring::Layout::new(setup.entries, setup.data_len).expect("such a ring may be");
        (setup.head.status, setup.memory_len) = (Status::OK.0, layout.len as u64);
        (setup.sq_at, setup.cq_at, setup.data_at) = (layout.sq_at as u32, layout.cq_at as u32, layout.data_at as u32);
        output[..input.len()].copy_from_slice(setup.as_bytes());
        Ok(input.len())
    };
    let done: Step = |_, output| reply(output, Status::OK, 0, &[]);
    let node = std::sync::Arc::new(node([made, done, done, done]));
    let connection: std::sync::Arc<dyn Connection> = node.clone();
    let ring = crate::Ring::set_up(&connection, ENTRIES, 100).unwrap();
    assert_eq!(ring.enter(), (0, Ok(())));
    drop(ring);
    let (register, _) = node.seen::<request::BufferRegister>(0);
    assert_eq!((register.addr, register.len, register.access), (0, layout.len as u64, request::access::WRITE));
    assert_eq!(node.kernel.kept.lock().unwrap().pop().map(|(_, len)| len), Some(layout.len as u64));
    let (setup, _) = node.seen::<request::RingSetup>(1);
    assert_eq!((setup.entries, setup.data_len), (ENTRIES, 100));
    assert!(setup.buffer != 0 && setup.buffer == register.buffer, "0 would be memory of the driver's");
    assert_eq!(node.seen::<request::BufferRelease>(2).0.buffer, register.buffer);
    assert_eq!(node.seen::<request::RingEnter>(3).0.to_submit, ENTRIES);
    node.seen::<request::RingTeardown>(4);
}

#[test]
fn a_reply_longer_than_its_room_or_than_what_was_written_is_none() {
    let nine: Step = |_, output| reply(output, Status::OK, 9, &[7; 9]);
    let untold: Step = |_, output| reply(output, Status::OK, 9, &[7; 8]);
    let mut room = [0xAA; 10];
    assert_eq!(node([nine]).call(1, 0, &[], &[], &mut room), Ok(9));
    assert_eq!(room, [7, 7, 7, 7, 7, 7, 7, 7, 7, 0xAA], "bytes behind the reply keep their values");
    assert_eq!(node([untold]).call(1, 0, &[], &[], &mut room), Err(Status::PROTOCOL.into()));
    let in_the_head: Step = |_, output| reply(output, Status::OK, 9, &[]);
    assert_eq!(node([in_the_head]).call(1, 0, &[], &[], &mut [0; 8]), Err(Status::PROTOCOL.into()));
}

#[test]
fn one_calls_bytes_are_not_anothers() {
    let long: Step = |_, output| reply(output, Status::OK, 64, &[0x55; 64]);
    let nothing: Step = |_, _| Ok(0);
    let node = node([long, nothing]);
    node.call(1, 0, &[1; 16], &[2; 200], &mut [0; 64]).unwrap();
    assert_eq!(
        node.call(2, 0, &[3], &[], &mut [0; 64]),
        Err(Status::NO_REPLY.into()),
        "the last head is not this one's"
    );
    assert_eq!(node.seen::<Call>(1).1, [3, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_answer_is_the_heads_or_else_the_transports() {
    let denied: Step = |_, _| Err(TransportStatus::DENIED.status());
    let untouched: Step = |_, _| Ok(0);
    let needs_more: Step = |_, output| reply(output, Status::OUTPUT_LENGTH, 24, &[]);
    let node = node([denied, untouched, needs_more, needs_more]);
    assert_eq!(node.query(0).unwrap_err(), Error::from(TransportStatus::DENIED.status()));
    assert_eq!(node.close(), Err(Status::NO_REPLY.into()));
    assert_eq!(node.call(1, 0, &[], &[], &mut [0; 8]), Err(Error::new(Status::OUTPUT_LENGTH, 24)));
    assert_eq!(node.int_wait(5, 1, 2), Err(Error::new(Status::OUTPUT_LENGTH, 24)));
    let (wait, _) = node.seen::<IntWait>(3);
    assert_eq!((wait.timeout_ns, wait.vector, wait.max), (5, 1, 2));
}

#[test]
fn a_schema_comes_behind_its_struct() {
    fn told(output: &mut [u8], written: u32, bytes: &[u8]) -> Result<usize, Status> {
        let (mut schema, _) = Schema::read_from_prefix(output).expect("a whole struct");
        (schema.head.status, schema.written, schema.total) = (Status::OK.0, written, 9);
        let answer = [schema.as_bytes(), bytes].concat();
        output[..answer.len()].copy_from_slice(&answer);
        Ok(answer.len())
    }
    let part: Step = |_, output| told(output, 3, b"abc");
    let connection = node([part]);
    let mut room = *b"......";
    let schema = connection.schema(5, &mut room).unwrap();
    assert_eq!((schema.written, schema.total, &room), (3, 9, b"abc..."));
    let (sent, rest) = connection.seen::<Schema>(0);
    assert_eq!((sent.offset, sent.len, sent.addr, rest.len()), (5, 6, 0, 0));
    let lies: [Step; 2] = [|_, output| told(output, 4, b"abc"), |_, output| told(output, 7, b"abcdef")];
    for lie in lies {
        assert_eq!(node([lie]).schema(0, &mut [0; 6]).unwrap_err(), Error::from(Status::PROTOCOL));
    }
}

#[test]
fn what_a_device_reads_is_locked_for_writing_and_for_reading_alone_where_that_is_refused() {
    const NR: u32 = <request::BufferRegister as Request>::NR;
    let (both, reading) = (control_code(NR).unwrap(), request::in_direct_code(NR).unwrap());
    let fault = TransportStatus::FAULT.status();
    for (access, refuses, codes, due) in [
        (request::access::READ, vec![], vec![both], Ok(())),
        (request::access::READ, vec![fault], vec![both, reading], Ok(())),
        (request::access::READ, vec![Status::BAD_FIELD], vec![both, reading], Ok(())), // a driver that takes no such request
        (request::access::READ, vec![Status::NO_MEMORY], vec![both], Err(Status::NO_MEMORY)),
        (request::access::WRITE, vec![fault], vec![both], Err(fault)),
    ] {
        let node = node([]);
        *node.kernel.refuses.lock().unwrap() = refuses;
        let of = request::BufferRegister { addr: 4096, len: 4096, buffer: 5, access, ..Request::new() };
        assert_eq!(node.buffer_register(&of).map_err(|error| error.status), due);
        let seen: Vec<u32> = node.kernel.seen.lock().unwrap().iter().map(|(code, _)| *code).collect();
        assert_eq!(seen, codes);
    }
}
