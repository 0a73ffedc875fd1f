//! The driver is taken from its device while calls, a batch, waits and stalled copies are in flight, and given back.
use super::{KINDS, Watchdog, address, connect, enable, has_node, stall::Stall, sysfs, until, works};
use crate::{Subject, Unload, World, linux::Guest, raw_ioctl, registry::guest_test};
use edu_interface::edu;
use kp_abi::{
    Status,
    limits::MAX_RING_ENTRIES,
    request::{ANY_VECTOR, NO_TIMEOUT, state},
    ring::{INLINE, Submission},
    zerocopy::FromZeros,
};
use kp_user::{Connection, Node, Plugin, Ring};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const INVERT: u32 = 3;
const FACTORIAL: u32 = 4;
const WAITS: u32 = 3;
/// A number whose factorial takes the device some milliseconds.
const LARGE: u64 = 5_000_000;

/// Unbinds and binds, `rounds` times with each kind of interrupt.
#[guest_test("stress unbind", stage = "tear-down", short = "3", long = "10")]
fn a_device_is_unbound_under_fire_and_bound_again(rounds: u32) {
    Guest.load(Subject::Edu);
    for _ in 0..rounds {
        for kinds in KINDS {
            unbind_and_bind(kinds);
        }
    }
    println!(
        "unbound and bound {} times, with {WAITS} waits, a loop of calls, a batch and two stalled copies in flight",
        2 * rounds
    );
    assert_eq!(Guest.unload(Subject::Edu), Unload::Gone);
}

/// The sessions of one device, and a handle without one.
struct Clients {
    owner: Plugin,
    caller: Plugin,
    stalled: Plugin,
    batcher: Plugin,
    ring: Ring,
    fresh: Node,
}

fn unbind_and_bind(kinds: u32) {
    let _watchdog = Watchdog::new("unbinding and binding");
    let node = || Node::open("/dev/kp/edu.0").expect("the node can be opened");
    let (batcher, owner, caller, stalled, fresh) = (connect(), connect(), connect(), connect(), node());
    let ring = Ring::set_up(batcher.connection(), MAX_RING_ENTRIES, 8).expect("the driver has rings");
    let mut clients = Clients { owner, caller, stalled, batcher, ring, fresh };
    let address = address(&clients.owner);
    enable(&clients.owner, kinds);
    unbind(&mut clients, &address);
    all_gone(&clients);
    assert_eq!(Guest.unload(Subject::Edu), Unload::Stays, "there are open handles");

    sysfs("edu", "bind", &address);
    until("the node is back", || has_node("edu"));
    let new = connect();
    until("the device is idle", || edu::Client(&new).factorial(3) == Ok(6));
    works(&new, kinds);
    all_gone(&clients);
    assert_eq!(new.query().map(|query| query.sessions), Ok(1), "the old sessions are another device's");
    drop(clients);
    works(&new, kinds);
}

fn unbind(clients: &mut Clients, address: &str) {
    let Clients { owner, caller, stalled, batcher, ring, .. } = clients;
    let gone = Status::DEVICE_GONE;
    queue_all(ring);
    let caller = &*caller;
    let stall = Stall::new(2);
    // SAFETY: page 1 is taken once, here.
    let late = unsafe { stall.output(1, 4) };
    let (taken, end) = std::thread::scope(|scope| {
        let ring = &*ring;
        let waits: Vec<_> = (0..WAITS)
            .map(|_| scope.spawn(|| owner.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1).expect_err("nothing came")))
            .collect();
        let calls = scope.spawn(|| {
            loop {
                match edu::Client(caller).invert(10) {
                    Ok(n) => assert_eq!(n, !10),
                    Err(error) => break error,
                }
            }
        });
        let copied_in = scope.spawn(|| stalled.connection().call(FACTORIAL, 0, stall.input(0, 4), &[], &mut [0; 4]));
        let copied_out = scope.spawn(|| {
            let written = stalled.connection().call(INVERT, 0, &0x0f0f_0f0fu32.to_ne_bytes(), &[], late);
            (written, u32::from_ne_bytes((*late).try_into().expect("4 bytes")))
        });
        assert_eq!(stall.faults(2), [0, 1].into(), "both copies are stalled");
        until("the waits are pending", || owner.query().is_ok_and(|query| query.waits == WAITS));
        until("a call is in flight", || caller.query().is_ok_and(|query| query.calls == 1));
        assert_eq!(stalled.query().map(|query| query.calls), Ok(0), "a stalled copy is not inside");
        let batch = scope.spawn(|| ring.enter());
        until("a batch is in flight", || batcher.query().is_ok_and(|query| query.calls == 1));

        sysfs("edu", "unbind", address);

        assert!(!copied_in.is_finished() && !copied_out.is_finished(), "both copies are still stalled");
        for wait in waits {
            assert_eq!(wait.join().expect("a wait does not panic"), gone);
        }
        assert_eq!(calls.join().expect("calls do not panic"), gone);
        let batch = batch.join().expect("a batch does not panic");
        assert!(!has_node("edu"));
        assert!(!copied_in.is_finished() && !copied_out.is_finished(), "both copies are still stalled");
        stall.come(0);
        assert_eq!(copied_in.join().expect("a call does not panic"), Err(gone.into()), "it was not inside yet");
        stall.come(1);
        let done = copied_out.join().expect("a call does not panic");
        assert_eq!(done, (Ok(4), 0xf0f0_f0f0), "it was outside again");
        batch
    });
    let mut queues = ring.queues();
    let answers: Vec<_> = std::iter::from_fn(|| queues.pop()).map(|(_, answer)| answer.status).collect();
    assert_eq!(answers.len(), taken as usize, "each has its completion");
    let ran = answers.iter().take_while(|&&answer| answer == Status::OK).count();
    assert_eq!(answers[ran..], [gone], "the first that is refused is the last");
    assert_eq!(end, Err(gone.into()), "why it stopped");
    assert!(taken < MAX_RING_ENTRIES, "all were taken");
}

/// As many messages as the ring has room for: more than the device can compute while there is a test.
fn queue_all(ring: &mut Ring) {
    let inline = [LARGE, 0, 0, 0];
    let factorial =
        Submission { message: FACTORIAL, flags: INLINE, args_len: 4, inline, out_len: 4, ..Submission::new_zeroed() };
    let mut queues = ring.queues();
    while queues.push(&factorial) {}
    queues.publish();
}

/// Every request of every handle answers as 1.4 of the semantics says.
fn all_gone(clients: &Clients) {
    let gone = || kp_abi::Error::from(Status::DEVICE_GONE);
    let Clients { owner, caller, stalled, batcher, ring, fresh } = clients;
    for plugin in [owner, caller, stalled, batcher] {
        let connection = plugin.connection();
        assert_eq!(plugin.query().map(|query| query.state), Ok(state::GONE));
        assert_eq!(edu::Client(plugin).factorial(5), Err(gone()));
        assert_eq!(connection.int_enable(KINDS[0], 1, 1, &[]), Err(gone()));
        assert_eq!(connection.int_wait(0, ANY_VECTOR, 1), Err(gone()));
        assert_eq!(connection.int_count(ANY_VECTOR), Err(gone()));
        assert_eq!(connection.int_disable(), Err(gone()));
        assert_eq!(Ring::set_up(connection, 1, 0).map(|_| ()), Err(gone()));
        assert_eq!(connection.ring_enter(1), Err(gone()));
        assert_eq!(connection.ring_teardown(), Err(gone()));
        assert_eq!(connection.close(), Ok(()), "CLOSE is idempotent");
        let over = PollFlags::HUP | PollFlags::ERR;
        let mut polled = [PollFd::from_borrowed_fd(plugin.as_fd().expect("a node has a descriptor"), PollFlags::IN)];
        assert_eq!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1));
        assert_eq!(polled[0].revents() & over, over);
    }
    assert_eq!(ring.enter(), (0, Err(gone())));
    assert_eq!(fresh.query(0).map(|query| query.state), Ok(state::GONE));
    assert_eq!(fresh.open(&mut raw_ioctl::open(edu::INTERFACE), &[]), Err(gone()));
}
