//! What a node makes of the kernel's answers, without a kernel.
use super::*;
use kp_abi::{
    TransportStatus,
    request::{Call, IntWait, NO_TIMEOUT, Open, Schema, Segments, feature},
    zerocopy::FromBytes,
};
use std::sync::Mutex;

/// Answers each request with the next step of its script, and keeps the bytes that came.
struct Script<F> {
    steps: Mutex<Vec<F>>,
    seen: Mutex<Vec<(u32, Vec<u8>)>>,
}

type Step = fn(&mut [u8]) -> Result<u32, i32>;

impl Kernel for Script<Step> {
    fn ioctl(&self, mut request: Prepared<'_>) -> Result<u32, i32> {
        self.seen.lock().unwrap().push((request.number(), request.bytes().to_vec()));
        let step = self.steps.lock().unwrap().remove(0);
        step(request.bytes())
    }

    fn enter(&self, _: u32) -> Result<u32, i32> {
        Err(libc::ENOTTY)
    }

    fn map(&self, _: u64, _: usize, _: bool) -> Result<SharedMemory, i32> {
        Err(libc::EINVAL)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn node(steps: impl IntoIterator<Item = Step>) -> Node<Script<Step>> {
    let steps = Mutex::new(steps.into_iter().collect());
    Node { kernel: Script { steps, seen: Mutex::default() }, agreement: Agreement::default() }
}

impl Node<Script<Step>> {
    fn seen<R: Request>(&self) -> Vec<R> {
        let seen = self.kernel.seen.lock().unwrap();
        seen.iter()
            .map(|(number, bytes)| {
                assert_eq!(*number, request::ioctl_number(R::NR));
                R::read_from_bytes(bytes).expect("a whole struct")
            })
            .collect()
    }
}

/// Answers in the head.
fn reply<R: Request>(bytes: &mut [u8], fill: impl FnOnce(&mut R)) -> Result<u32, i32> {
    let mut request = R::read_from_bytes(bytes).expect("a whole struct");
    request.head().status = Status::OK.0;
    fill(&mut request);
    bytes.copy_from_slice(request.as_bytes());
    Ok(0)
}

#[test]
fn a_wait_that_a_signal_interrupts_goes_on_with_the_remaining_time() {
    let interrupted: Step = |bytes| {
        reply::<IntWait>(bytes, |wait| {
            wait.head.status = Status::NO_REPLY.0;
            wait.timeout_ns -= 300;
        })?;
        Err(libc::EINTR)
    };
    let notified: Step = |bytes| {
        reply::<IntWait>(bytes, |wait| {
            (wait.got_vector, wait.got, wait.available, wait.generation) = (2, 3, 4, 5);
        })
    };
    let node = node([interrupted, interrupted, notified]);
    let notification = node.int_wait(1000, 2, 8).unwrap();
    assert_eq!(notification, Notification { vector: 2, got: 3, available: 4, generation: 5 });
    let seen = node.seen::<IntWait>();
    assert_eq!(seen.iter().map(|wait| wait.timeout_ns).collect::<Vec<_>>(), [1000, 700, 400]);
    assert!(seen.iter().all(|wait| (wait.vector, wait.max) == (2, 8)));
}

#[test]
fn other_requests_say_that_a_signal_came() {
    let interrupted: Step = |_| Err(libc::EINTR);
    assert_eq!(node([interrupted]).call(1, 0, &[], &[], &mut []), Err(Status::INTERRUPTED.into()));
    assert_eq!(node([interrupted]).int_disable(), Err(Status::INTERRUPTED.into()));
}

#[test]
fn a_transport_that_fails_is_a_row_of_the_table() {
    let rows: [(Step, Status); 8] = [
        (|_| Err(libc::ENOTTY), TransportStatus::UNKNOWN_REQUEST.status()),
        (|_| Err(libc::EFAULT), TransportStatus::FAULT.status()),
        (|_| Err(libc::EACCES), TransportStatus::DENIED.status()),
        (|_| Err(libc::EPERM), TransportStatus::DENIED.status()),
        (|_| Err(libc::ENOMEM), Status::NO_MEMORY),
        (|_| Err(libc::ENODEV), Status::DEVICE_GONE),
        (|_| Err(libc::EBADF), Status::NO_REPLY),
        (|_| Ok(0), Status::NO_REPLY), // nobody has touched the head
    ];
    for (step, status) in rows {
        assert_eq!(node([step]).query(0).unwrap_err(), Error::from(status));
    }
    for row in Status::TABLE.iter().filter(|row| row.status.is_transport()) {
        assert_eq!(status(row.errno.into()), row.status, "errno {}", row.errno);
    }
}

#[test]
fn a_status_in_the_head_is_the_answer() {
    let refused: Step = |bytes| {
        reply::<Call>(bytes, |call| {
            (call.head.status, call.head.detail) = (Status::OUTPUT_LENGTH.0, 24);
        })
    };
    assert_eq!(node([refused]).call(1, 0, &[], &[], &mut [0; 8]), Err(Error::new(Status::OUTPUT_LENGTH, 24)));
}

#[test]
fn small_arguments_and_data_adjoin() {
    let done: Step = |bytes| reply::<Call>(bytes, |_| {});
    let cases = [
        (5, 8, true),
        (8, 248, true),
        (1, 248, true),
        (9, 241, false), // padded, they are 257
        (8, 249, false),
        (256, 65_536, false),
    ];
    for (args, data, adjoin) in cases {
        let (args, data) = (vec![1; args], vec![2; data]);
        let node = node([done]);
        node.call(7, request::CALL_NOWAIT, &args, &data, &mut []).unwrap();
        let call = node.seen::<Call>()[0];
        assert_eq!((call.message, call.head.flags, call.head.size), (7, request::CALL_NOWAIT, 56));
        assert_eq!((call.args_len as usize, call.in_len as usize), (args.len(), data.len()));
        let offset = call.in_addr.wrapping_sub(call.args_addr);
        assert_eq!(offset == args.len().next_multiple_of(8) as u64 && call.in_addr != address(&data), adjoin);
        assert_eq!(call.args_addr == address(&args) && call.in_addr == address(&data), !adjoin);
    }
}

#[test]
fn what_is_alone_is_not_copied() {
    let done: Step = |bytes| reply::<Call>(bytes, |_| {});
    let (bytes, mut room) = ([1; 16], [0xAA; 32]);
    let alone = node([done, done]);
    alone.call(1, 0, &bytes, &[], &mut room).unwrap();
    alone.call(1, 0, &[], &bytes, &mut room).unwrap();
    let calls = alone.seen::<Call>();
    assert_eq!((calls[0].args_addr, calls[0].in_len), (address(&bytes), 0));
    assert_eq!((calls[1].in_addr, calls[1].args_len), (address(&bytes), 0));
    assert!(calls.iter().all(|call| (call.out_addr, call.out_len) == (address(&room), 32)));
    assert_eq!(room, [0xAA; 32], "nobody clears the room for the reply");
}

#[test]
fn a_reply_longer_than_its_room_is_none() {
    let nine: Step = |bytes| reply::<Call>(bytes, |call| call.head.detail = 9);
    let both = node([nine, nine]);
    assert_eq!(both.call(1, 0, &[], &[], &mut [0; 9]), Ok(9));
    assert_eq!(both.call(1, 0, &[], &[], &mut [0; 8]), Err(Status::PROTOCOL.into()));
}

#[test]
fn waiting_without_end_is_asked_for_as_such() {
    let closed: Step = |bytes| reply::<IntWait>(bytes, |wait| wait.head.status = Status::CLOSED.0);
    let node = node([closed]);
    assert_eq!(node.int_wait(NO_TIMEOUT, 0, 1), Err(Status::CLOSED.into()));
    assert_eq!(node.seen::<IntWait>()[0].timeout_ns, NO_TIMEOUT);
}

#[test]
fn a_file_that_is_no_kp_device_knows_no_request() {
    let node = Node::open("/dev/null").expect("every Linux has it");
    assert_eq!(node.query(0).unwrap_err(), Error::from(TransportStatus::UNKNOWN_REQUEST.status()));
    assert!(node.as_fd().is_some());
}

kp_abi::interface! {
    pub mod store, version 1 {
        fn add(a: u32, b: u64) -> u64 = 1;
        fn write(at: u64, data: &[u8]) -> u32 = 2;
        fn large() -> [u64; 33] = 3;
    }
}

/// A node whose OPEN has agreed on `store`; the next requests get these answers.
fn agreed(steps: impl IntoIterator<Item = Step>) -> Node<Script<Step>> {
    let granted: Step = |bytes| reply::<Open>(bytes, |_| {});
    let node = node([granted].into_iter().chain(steps));
    let (features, fingerprint) = (feature::DIRECT, store::INTERFACE.fingerprint());
    let mut open = Open { features, message_count: 3, fingerprint, ..Open::new() };
    node.open(&mut open, &[]).unwrap();
    node.agree(store::INTERFACE);
    node.kernel.seen.lock().unwrap().clear();
    node
}

#[test]
fn a_message_that_both_sides_know_travels_directly() {
    let sum: Step = |buffer| {
        assert_eq!(buffer[8..20], [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        buffer[8..16].copy_from_slice(&3u64.to_le_bytes());
        Ok(0)
    };
    let wrote: Step = |buffer| {
        buffer[4..8].copy_from_slice(&4u32.to_le_bytes());
        Ok(0)
    };
    let node = agreed([sum, wrote, wrote]);
    let args = [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
    let (mut room, mut large) = ([0xAA; 8], [0; 264]);
    assert_eq!(node.call(1, 0, &args, &[], &mut room), Ok(8));
    assert_eq!(u64::from_le_bytes(room), 3);
    assert_eq!(node.call(2, 0, &[7; 8], b"data", &mut room[..4]), Ok(4));
    assert_eq!(node.call(3, 0, &[], &[], &mut large), Ok(4));
    let seen = node.kernel.seen.lock().unwrap();
    let numbers: Vec<_> = seen.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3].map(request::direct_number));
    let segments = Segments::read_from_bytes(&seen[1].1[8..32]).unwrap();
    assert_eq!((segments.in_len, segments.out_len, segments.out_addr), (4, 4, address(&room)));
    assert_eq!(seen[1].1[32..40], [7; 8]);
}

#[test]
fn what_does_not_fit_the_agreement_travels_as_a_call() {
    let done: Step = |bytes| reply::<Call>(bytes, |_| {});
    let node = agreed([done; 6]);
    let mut room = [0; 9];
    node.call(1, request::CALL_NOWAIT, &[0; 12], &[], &mut room[..8]).unwrap();
    node.call(1, 0, &[0; 11], &[], &mut room[..8]).unwrap();
    node.call(1, 0, &[0; 12], &[], &mut room[..9]).unwrap();
    node.call(1, 0, &[0; 12], b"x", &mut room[..8]).unwrap();
    node.call(2, 0, &[0; 7], b"x", &mut room[..4]).unwrap();
    node.call(4, 0, &[], &[], &mut []).unwrap();
    assert_eq!(node.seen::<Call>().len(), 6);
}

#[test]
fn a_direct_answer_is_the_status_and_its_detail() {
    let refused: Step = |buffer| {
        buffer[..8].copy_from_slice(&[64, 0, 0, 0, 9, 0, 0, 0]);
        Ok(64)
    };
    let faulted: Step = |_| Err(libc::EFAULT);
    let too_long: Step = |buffer| {
        buffer[4..8].copy_from_slice(&5u32.to_le_bytes());
        Ok(0)
    };
    let node = agreed([refused, faulted, too_long]);
    let mut room = [0xAA; 8];
    assert_eq!(node.call(1, 0, &[0; 12], &[], &mut room), Err(Error::plugin(9)));
    assert_eq!(room, [0xAA; 8], "a call that failed leaves the reply's room alone");
    assert_eq!(node.call(1, 0, &[0; 12], &[], &mut room), Err(TransportStatus::FAULT.status().into()));
    assert_eq!(node.call(2, 0, &[0; 8], b"x", &mut room[..4]), Err(Status::PROTOCOL.into()));
}

fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr().addr() as u64
}

/// SCHEMA, answered with so many bytes of so many.
fn told(bytes: &mut [u8], written: u32, total: u32) -> Result<u32, i32> {
    reply::<Schema>(bytes, |schema| (schema.written, schema.total) = (written, total))
}

#[test]
fn a_schema_is_asked_for_in_parts_until_it_is_whole() {
    let parts: [Step; 2] = [|bytes| told(bytes, 4096, 5000), |bytes| told(bytes, 904, 5000)];
    let whole = node(parts);
    assert_eq!(crate::schema(&whole).map(|bytes| bytes.len()), Ok(5000));
    let asked: Vec<_> = whole.seen::<Schema>().iter().map(|schema| (schema.offset, schema.len)).collect();
    assert_eq!(asked, [(0, 4096), (4096, 4096)]);
    let empty: Step = |bytes| told(bytes, 0, 0);
    assert_eq!(crate::schema(&node([empty])), Ok(Vec::new()));
}

#[test]
fn a_driver_whose_schema_has_no_end_is_not_believed() {
    let lies: [&[Step]; 5] = [
        &[|bytes| told(bytes, 4097, 5000)],
        &[|bytes| told(bytes, 0, 5000)],
        &[|bytes| told(bytes, 100, 99)],
        &[|bytes| told(bytes, 4096, 5000), |bytes| told(bytes, 900, 4990)],
        &[|bytes| told(bytes, 4096, u32::MAX)],
    ];
    for (i, steps) in lies.into_iter().enumerate() {
        assert_eq!(crate::schema(&node(steps.iter().copied())), Err(Status::PROTOCOL.into()), "lie {i}");
    }
    let older: Step = |_| Err(libc::ENOTTY);
    assert_eq!(crate::schema(&node([older])), Err(TransportStatus::UNKNOWN_REQUEST.status().into()));
}
