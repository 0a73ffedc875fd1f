//! poll(2) of a node, as `docs/abi.md` says it. What it says of a removal and of a panic is seen where those are tested: `stress::unbind`,
//! `planted::panic`.
use super::{Guest, Loaded};
use crate::{Subject, World, registry::guest_test};
use edu_interface::edu;
use kp_abi::{
    Status,
    request::{ANY_VECTOR, kind},
};
use kp_user::Plugin;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// All that could be asked for.
const ALL: PollFlags = PollFlags::IN
    .union(PollFlags::RDNORM)
    .union(PollFlags::PRI)
    .union(PollFlags::OUT)
    .union(PollFlags::WRNORM)
    .union(PollFlags::RDBAND);
const READABLE: PollFlags = PollFlags::IN.union(PollFlags::RDNORM);
const OVER: PollFlags = PollFlags::HUP.union(PollFlags::ERR);
/// A wait that ends by its time alone.
const WAIT: Duration = Duration::from_millis(50);

/// Readable for the owner alone, and over with its session; O_NONBLOCK changes nothing.
#[guest_test("poll", stage = "scenario")]
fn a_node_is_readable_for_the_owner_and_over_with_its_session() {
    let loaded = Loaded::all();
    let plugins = [Guest.connect(Subject::Edu), Guest.connect(Subject::Edu)];
    let [owner, other] = &plugins;
    assert_eq!([polled(owner), polled(other)], [PollFlags::empty(); 2], "nothing is enabled");
    edu::Client(owner).defer_every(1).expect("every interrupt can be deferred");
    owner.connection().int_enable(kind::MSI, 1, 1, &[]).expect("an interrupt can be enabled");
    assert_eq!(polled(owner), PollFlags::empty(), "nothing has come");

    let woken = thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(owner));
        edu::Client(owner).raise(1).expect("the device can be raised");
        waiter.join().expect("the waiter does not panic")
    });
    assert_eq!(woken, READABLE);
    assert_eq!([polled(owner), polled(other)], [READABLE, PollFlags::empty()], "it is the owner's to take");
    owner.connection().int_wait(0, ANY_VECTOR, 1).expect("there is one");
    assert_eq!(polled(owner), PollFlags::empty(), "it was taken");

    nonblocking_waits(owner);

    edu::Client(owner).raise(1).expect("the device can be raised");
    assert_eq!(wait(owner), READABLE);
    owner.connection().int_disable().expect("the interrupt can be disabled");
    assert_eq!(polled(owner), PollFlags::empty(), "what nobody has taken is lost");

    let woken = thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(owner));
        owner.connection().close().expect("a session can be closed");
        waiter.join().expect("the waiter does not panic")
    });
    assert_eq!(woken, OVER);
    assert_eq!([polled(owner), polled(other)], [OVER, PollFlags::empty()], "CLOSE ends one session");
    drop(plugins);
    drop(loaded);
    println!("poll: readable for the owner, over with its session");
}

/// A descriptor that does not block waits as long as its INT_WAIT says.
fn nonblocking_waits(owner: &Plugin) {
    let descriptor = owner.as_fd().expect("a device node is a descriptor");
    let flags = fcntl_getfl(descriptor).expect("its flags");
    fcntl_setfl(descriptor, flags | OFlags::NONBLOCK).expect("its flags can be set");
    let from = Instant::now();
    let waited = owner.connection().int_wait(WAIT.as_nanos() as u64, ANY_VECTOR, 1);
    assert_eq!(waited.map(drop), Err(Status::TIMEOUT.into()));
    assert!(from.elapsed() >= WAIT, "{:?}", from.elapsed());
    fcntl_setfl(descriptor, flags).expect("its flags can be set");
}

/// What poll(2) says now.
fn polled(plugin: &Plugin) -> PollFlags {
    poll_for(plugin, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
}

/// What poll(2) says when it has something to say.
fn wait(plugin: &Plugin) -> PollFlags {
    poll_for(plugin, None)
}

fn poll_for(plugin: &Plugin, timeout: Option<&Timespec>) -> PollFlags {
    let descriptor = plugin.as_fd().expect("a device node is a descriptor");
    let mut polled = [PollFd::from_borrowed_fd(descriptor, ALL)];
    poll(&mut polled, timeout).expect("it can be polled");
    polled[0].revents()
}
