//! Clients killed in every state.
//!
//! A victim brings itself into a state and watches the driver's counters. The moment they show the state it sends itself SIGKILL:
//! so a victim that died of that signal was there, and one that ends otherwise fails the test.
use super::{
    KINDS, Watchdog, again, check_final, connect, counters, disable, enable, int_enable, raise, raising, until, works,
};
use crate::{
    Subject, World,
    linux::{Guest, Loaded},
    registry::{guest_test, helper},
};
use echo_interface::echo;
use edu_interface::edu;
use kp_abi::{
    Status,
    limits::{MAX_CALLS, MAX_RING_ENTRIES, MAX_WAITS},
    request::{ANY_VECTOR, NO_TIMEOUT},
    ring::{INLINE, Submission},
    zerocopy::FromZeros,
};
use kp_user::{Connection, Node, Plugin, Ring};
use rustix::process::{Signal, getpid, kill_process};
use std::{
    os::unix::process::ExitStatusExt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

/// How long a call sleeps that a kill has to cut short, in ms.
const NAP_MS: u32 = 60_000;
/// A kill that takes longer has not cut it short.
const SHORT: Duration = Duration::from_secs(30);

/// A name, and what brings a client there; it gets the kind of interrupt to enable.
type State = (&'static str, fn(u32));

/// Where clients die.
const STATES: &[State] = &[
    ("fresh", fresh),
    ("open", open),
    ("call", call),
    ("calls", calls),
    ("closing", closing),
    ("enabled", enabled),
    ("wait", wait),
    ("waits", waits),
    ("wait-notified", wait_notified),
    ("burst", burst),
    ("enabling", enabling),
    ("disabling", disabling),
    ("ring", ring),
    ("batch", batch),
    ("batches", batches),
    ("batch-raising", batch_raising),
];

/// Becomes the client that dies in `state`.
///
/// # Errors
/// There is no such state, or the client is still alive.
#[helper("stress victim")]
fn victim(state: &str, kinds: u32) -> Result<(), String> {
    let (_, reach) = STATES.iter().find(|(name, _)| *name == state).ok_or(format!("no such state: {state}"))?;
    reach(kinds);
    Err(format!("{state} was reached, and the client is still alive"))
}

/// Kills a client in each state, `rounds` times with each kind of interrupt.
#[guest_test("stress kills", stage = "tear-down", short = "1", long = "2")]
fn clients_killed_in_any_state_leave_nothing(rounds: u32) {
    let loaded = Loaded::all();
    let plugin = connect();
    let echo = Guest.connect(Subject::Echo);
    for _ in 0..rounds {
        for (state, _) in STATES {
            for kinds in KINDS {
                kill_in(state, kinds, &plugin, &echo);
            }
        }
    }
    println!("{} states, {} clients killed in each", STATES.len(), 2 * rounds);
    drop((plugin, echo));
    drop(loaded);
}

fn kill_in(state: &str, kinds: u32, plugin: &Plugin, echo: &Plugin) {
    let _watchdog = Watchdog::new("a killed client is gone");
    let before = counters(plugin).0;
    let start = Instant::now();
    let status =
        if state == "closing" { while_device_is_busy(plugin, || spawn(state, kinds)) } else { spawn(state, kinds) };
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{state}: {status}");
    assert!(start.elapsed() < SHORT, "{state}: the kill has cut nothing short");
    for mine in [plugin, echo] {
        let query = mine.query().expect("a plugin can always be asked");
        assert_eq!(query.sessions, 1, "{state}: sessions besides this one");
    }
    let (generation, last) = counters(plugin);
    if generation != before {
        check_final(&last);
    }
    if state == "batch-raising" {
        until("the device is idle", || edu::Client(plugin).factorial(3) == Ok(6));
        int_enable(plugin, kinds);
        raise(plugin);
        until("the interrupt has come", || counters(plugin).1.received == 1);
        assert_eq!(disable(plugin).deferred, 1, "{state}: the batch went on without its process, to its last message");
    }
    if state == "burst" {
        assert!(last.lost > 0, "{state}: nobody took these: {last:?}");
    }
    works(plugin, kinds);
    assert_eq!(echo::Client(echo).say(b"still here"), Ok(10));
}

fn spawn(state: &str, kinds: u32) -> std::process::ExitStatus {
    again(&["victim", state, &kinds.to_string()]).status().expect("this program can be started again")
}

/// Sends SIGKILL to this process.
fn die() {
    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
}

fn fresh(_: u32) {
    let node = Node::open("/dev/kp/edu.0").expect("the node can be opened");
    assert_eq!(node.int_count(ANY_VECTOR), Err(Status::NOT_OPEN.into()));
    die();
}

fn open(_: u32) {
    let plugin = connect();
    assert_eq!(plugin.query().expect("a plugin can always be asked").sessions, 2);
    die();
}

fn call(_: u32) {
    napping(1);
}

/// As many calls as a session may have.
fn calls(_: u32) {
    napping(MAX_CALLS);
}

fn napping(count: u32) {
    let plugin = Guest.connect(Subject::Echo);
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| echo::Client(&plugin).nap(NAP_MS));
        }
        until("the calls are in flight", || plugin.query().is_ok_and(|query| query.calls == count));
        die();
    });
}

/// CLOSE waits for calls, which wait for the device's mutex, which the other process keeps busy.
fn closing(_: u32) {
    const CALLS: u32 = 4;
    let plugin = connect();
    std::thread::scope(|scope| {
        for _ in 0..CALLS {
            scope.spawn(|| while edu::Client(&plugin).invert(0).is_ok() {});
        }
        until("the calls are in flight", || plugin.query().is_ok_and(|query| query.calls == CALLS));
        scope.spawn(|| plugin.connection().close());
        until("CLOSE waits for the calls", || {
            let closed = plugin.connection().int_count(ANY_VECTOR) == Err(Status::CLOSED.into());
            closed && plugin.query().is_ok_and(|query| query.calls > 0 && query.sessions == 3)
        });
        die();
    });
}

/// Runs `f` while another session has the device compute, and so holds its mutex nearly all the time.
fn while_device_is_busy<R>(plugin: &Plugin, f: impl FnOnce() -> R) -> R {
    const CALLS: u32 = 2;
    let busy = connect();
    let done = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        for _ in 0..CALLS {
            // Either it finishes or it times out, after a second; both hold the mutex for long.
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    let _ = edu::Client(&busy).factorial(u32::MAX);
                }
            });
        }
        until("the device is busy", || busy.query().is_ok_and(|query| query.calls == CALLS));
        let result = f();
        done.store(true, SeqCst);
        result
    });
    drop(busy);
    // What it was told last, it still computes; it takes no other number until it is done.
    until("the device is idle", || edu::Client(plugin).factorial(3) == Ok(6));
    result
}

fn enabled(kinds: u32) {
    let plugin = connect();
    let before = counters(&plugin).0;
    enable(&plugin, kinds);
    assert_eq!(counters(&plugin).0, before + 1);
    die();
}

fn wait(kinds: u32) {
    waiting(kinds, 1);
}

/// As many waits as a session may have.
fn waits(kinds: u32) {
    waiting(kinds, MAX_WAITS);
}

fn waiting(kinds: u32, count: u32) {
    let plugin = connect();
    enable(&plugin, kinds);
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| plugin.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1));
        }
        until("the waits are pending", || plugin.query().is_ok_and(|query| query.waits == count));
        die();
    });
}

/// A wait is pending, and notifications keep coming.
fn wait_notified(kinds: u32) {
    let plugin = connect();
    enable(&plugin, kinds);
    std::thread::scope(|scope| {
        scope.spawn(|| while plugin.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1).is_ok() {});
        scope.spawn(|| while edu::Client(&plugin).raise(1).is_ok() {});
        until("notifications are taken", || counters(&plugin).1.delivered >= 5);
        until("a wait is pending", || plugin.query().is_ok_and(|query| query.waits == 1));
        die();
    });
}

/// Interrupts keep coming, and nobody takes their notifications.
fn burst(kinds: u32) {
    let plugin = connect();
    enable(&plugin, kinds);
    std::thread::scope(|scope| {
        scope.spawn(|| while edu::Client(&plugin).raise(1).is_ok() {});
        until("there are notifications", || counters(&plugin).1.available >= 10);
        let before = counters(&plugin).1.received;
        until("interrupts keep coming", || counters(&plugin).1.received > before);
        die();
    });
}

fn enabling(kinds: u32) {
    inside(kinds, 1);
}

fn disabling(kinds: u32) {
    inside(kinds, 0);
}

/// Enables and disables in turn, and dies inside the request whose number is odd or even as `parity` says: enabling or disabling.
fn inside(kinds: u32, parity: u64) {
    let plugin = connect();
    let request = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                request.fetch_add(1, SeqCst);
                plugin.connection().int_enable(kinds, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
                request.fetch_add(1, SeqCst);
                plugin.connection().int_disable().unwrap_or_else(|error| panic!("disable: {error}"));
            }
        });
        until("the request is in progress", || {
            let before = request.load(SeqCst);
            let within = plugin.query().is_ok_and(|query| query.calls == 1);
            within && before % 2 == parity && before != 0 && request.load(SeqCst) == before
        });
        die();
    });
}

/// A ring is mapped, and its page follows the interrupts, which keep coming.
fn ring(kinds: u32) {
    let plugin = connect();
    let ring = set_up(&plugin);
    enable(&plugin, kinds);
    std::thread::scope(|scope| {
        scope.spawn(|| while edu::Client(&plugin).raise(1).is_ok() {});
        until("the page follows", || ring.counters(ANY_VECTOR).is_ok_and(|(_, counters)| counters.received >= 5));
        die();
    });
}

/// A batch is under way: its first message sleeps, and so would all that follow.
fn batch(_: u32) {
    let plugin = Guest.connect(Subject::Echo);
    let mut ring = set_up(&plugin);
    let nap = [NAP_MS.into(), 0, 0, 0];
    let nap = Submission { message: 5, flags: INLINE, args_len: 4, inline: nap, ..Submission::new_zeroed() };
    {
        let mut queues = ring.queues();
        while queues.push(&nap) {}
        queues.publish();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| ring.enter());
        until("a message of the batch sleeps", || plugin.query().is_ok_and(|query| query.calls == 1));
        die();
    });
}

/// A batch is under way. Its last message has edu defer no interrupt any more, from the next enabling on.
fn batch_raising(kinds: u32) {
    let plugin = connect();
    enable(&plugin, kinds);
    let defer_none = (6, u32::MAX);
    let ring = raising(&plugin, MAX_RING_ENTRIES, Some(defer_none));
    std::thread::scope(|scope| {
        scope.spawn(|| ring.enter());
        until("the batch brings about interrupts", || counters(&plugin).1.received >= 2);
        die();
    });
}

/// One batch after the other, of messages that take no time.
fn batches(_: u32) {
    let plugin = connect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let mut batch = edu::Client(&plugin).batch().expect("the driver has rings");
                let tickets: Vec<_> = (0..64).map(|n| batch.invert(n).expect("there is room")).collect();
                let replies = batch.run();
                replies.all(tickets).zip(0..).for_each(|(reply, n)| assert_eq!(reply, Ok(!n)));
            }
        });
        until("a message of a batch is in flight", || plugin.query().is_ok_and(|query| query.calls == 1));
        die();
    });
}

/// A ring that the driver knows of.
fn set_up(plugin: &Plugin) -> Ring {
    let ring = Ring::set_up(plugin.connection(), 64, 4096).expect("the driver has rings");
    let second = Ring::set_up(plugin.connection(), 1, 0).map(|_| ());
    assert_eq!(second, Err(Status::RING_EXISTS.into()));
    ring
}
