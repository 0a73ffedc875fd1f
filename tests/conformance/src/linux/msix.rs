//! Several vectors at once, on ivshmem-doorbell: each counts for itself, and is waited for by itself or with the others.
use crate::{Unload, interrupts::until, registry::guest_test};
use ivshmem_interface::{SILENT, VECTORS, ivshmem};
use kp_abi::{Counters, Status, request::ANY_VECTOR};
use kp_user::{Enable, Interrupts, Kind, Notification, Plugin};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Vectors, as requests count them.
const ALL: u32 = VECTORS as u32;
/// How long what is bound to come may take: a hang, not a measure.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rings of each vector while others are rung too.
const CROWD: u64 = 1000;

/// Or with the others. The module is loaded for it and unloaded after it.
#[guest_test("msix", stage = "msix")]
fn each_vector_counts_and_is_waited_for_by_itself() {
    super::load("ivshmem");
    let plugin = Plugin::open_interface("ivshmem", ivshmem::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
    let doorbell = Doorbell(&plugin);
    assert_ne!(doorbell.client().position().expect("its number"), 0, "the server gave it a number that is not 0");
    assert_eq!(code(doorbell.client().ring(ALL)), Status::BAD_VALUE);
    refused(&plugin);
    counts_and_waits(&doorbell);
    fewer(&doorbell);
    crowd(&doorbell);
    close(&doorbell);
    drop(plugin);
    assert_eq!(super::unload("ivshmem"), Unload::Gone);
    println!("MSI-X: {VECTORS} vectors, counted and waited for one by one, together, and all at once");
}

/// The device, and the session it is rung through.
#[derive(Clone, Copy)]
struct Doorbell<'p>(&'p Plugin);

impl<'p> Doorbell<'p> {
    fn client(&self) -> ivshmem::Client<&'p Plugin> {
        ivshmem::Client(self.0)
    }

    fn enable(&self, vectors: std::ops::RangeInclusive<u32>, count: u32) -> Interrupts {
        let enabled = self.0.interrupts(Enable::msix(vectors.clone()));
        let enabled = enabled.unwrap_or_else(|error| panic!("enable {vectors:?}: {error}"));
        assert_eq!((enabled.kind(), enabled.count()), (Kind::MsiX, count), "of {vectors:?}");
        enabled
    }

    /// Rings once, and waits until the interrupt has been received and dealt with. One at a time: two rings before the device has
    /// seen the first would be one interrupt.
    fn ring(&self, vector: u32) {
        let before = counters(self.0, vector);
        self.client().ring(vector).expect("the device can be rung");
        let told = u64::from(vector != SILENT);
        until("the interrupt arrives", || counters(self.0, vector).received == before.received + 1);
        until("it is dealt with", || {
            let now = counters(self.0, vector);
            now.dpc_runs > before.dpc_runs && now.notified == before.notified + told
        });
    }

    fn ring_all(&self, vectors: &[u32]) {
        vectors.iter().for_each(|&vector| self.ring(vector));
    }
}

/// Numbers of vectors that cannot be.
fn refused(plugin: &Plugin) {
    let enable = |vectors| plugin.interrupts(Enable::msix(vectors)).map(|_| ());
    assert_eq!(
        code(enable(ALL + 1..=ALL + 1)),
        Status::NO_INTERRUPT,
        "the device has more, but the plugin serves no more"
    );
    assert_eq!(code(enable(0..=0)), Status::BAD_FIELD);
    assert_eq!(code(plugin.interrupts(Enable::msi()).map(|_| ())), Status::NO_INTERRUPT, "it has no plain MSI");
}

fn counts_and_waits(doorbell: &Doorbell<'_>) {
    let interrupts = doorbell.enable(ALL..=ALL, ALL);
    let waits = || doorbell.0.query().expect("a query").waits;
    for vector in 0..ALL {
        assert_eq!(counters(doorbell.0, vector), Counters::default(), "vector {vector}: nothing has happened");
    }
    // 3, 5, 7 and 2 times, mixed.
    doorbell.ring_all(&[2, 1, 0, 2, 1, 3, 2, 0, 1, 2, 2, 1, 3, 2, 1, 0, 2]);
    expect(doorbell.0, [3, 5, 7, 2], [0; VECTORS]);
    assert_eq!(doorbell.client().rung(), Ok([3, 5, 7, 2]), "as the plugin saw them");
    for vector in [ALL, ALL + 1, ANY_VECTOR - 1] {
        assert_eq!(code(interrupts.counters_of(vector)), Status::BAD_VECTOR, "count {vector}");
        assert_eq!(code(interrupts.wait_vector(vector, PATIENCE)), Status::BAD_VECTOR, "wait for {vector}");
    }

    // One vector: its own, and nobody else's.
    assert_eq!(taken(interrupts.wait_many(2, 4, Duration::ZERO)), Ok((2, 4, 3)));
    assert_eq!(taken(interrupts.wait_many(2, 100, Duration::ZERO)), Ok((2, 3, 0)));
    assert_eq!(taken(interrupts.wait_vector(2, Duration::ZERO)), Err(Status::TIMEOUT));
    assert_eq!(taken(interrupts.wait_vector(SILENT, Duration::ZERO)), Err(Status::TIMEOUT), "never notified");
    expect(doorbell.0, [3, 5, 7, 2], [0, 0, 7, 0]);

    // Any: each in turn, from the one after the one served last.
    doorbell.ring(2);
    let any: Vec<_> = (0..9).map(|_| taken(interrupts.try_take()).map(|(vector, ..)| vector)).collect();
    assert_eq!(any, [0, 1, 2, 0, 1, 0, 1, 1, 1].map(Ok));
    assert_eq!(taken(interrupts.try_take()), Err(Status::TIMEOUT));
    expect(doorbell.0, [3, 5, 8, 2], [3, 5, 8, 0]);

    // A wait for one vector sleeps through another's.
    let waited = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| taken(interrupts.wait_vector(1, PATIENCE)));
        until("a wait is pending", || waits() == 1);
        doorbell.ring_all(&[0, 2]);
        assert_eq!(waits(), 1, "it is not its vector");
        doorbell.client().ring(1).expect("the device can be rung");
        waiter.join().expect("the waiter does not panic")
    });
    assert_eq!(waited, Ok((1, 1, 0)));
    expect(doorbell.0, [4, 6, 9, 2], [3, 6, 8, 0]);

    descriptor(doorbell, &interrupts);

    let last = interrupts.disable().expect("it is enabled");
    assert_eq!((last.received, last.notified, last.delivered, last.lost), (23, 20, 20, 0));
    let connection = doorbell.0.connection();
    assert_eq!(code(connection.int_wait(0, 2, 1)), Status::NOT_ENABLED);
    let (_, after) = connection.int_count(2).expect("the counters stay");
    assert_eq!((after.received, after.delivered), (9, 9));
}

/// The descriptor: readable while there is something to take, whatever its vector. There is one of vector 0 and one of 2.
fn descriptor(doorbell: &Doorbell<'_>, interrupts: &Interrupts) {
    let ready = |patience| ready(doorbell.0, patience);
    assert_eq!(ready(Duration::ZERO), PollFlags::IN);
    assert_eq!(taken(interrupts.try_take()), Ok((2, 1, 0)));
    assert_eq!(ready(Duration::ZERO), PollFlags::IN);
    assert_eq!(taken(interrupts.try_take()), Ok((0, 1, 0)));
    assert_eq!(ready(Duration::ZERO), PollFlags::empty());
    doorbell.ring(SILENT);
    assert_eq!(ready(Duration::ZERO), PollFlags::empty(), "there is nothing to take");
    std::thread::scope(|scope| {
        let poller = scope.spawn(|| ready(PATIENCE));
        doorbell.client().ring(1).expect("the device can be rung");
        assert_eq!(poller.join().expect("the poller does not panic"), PollFlags::IN);
    });
    assert_eq!(taken(interrupts.try_take()), Ok((1, 1, 0)));
}

/// Enabled anew: counted anew, and with as many vectors as there may be.
fn fewer(doorbell: &Doorbell<'_>) {
    let interrupts = doorbell.enable(1..=2, 2);
    for vector in [0, 1, ANY_VECTOR] {
        assert_eq!(counters(doorbell.0, vector), Counters::default(), "vector {vector}: counted anew");
    }
    doorbell.ring_all(&[1, 0, 1]);
    assert_eq!(doorbell.client().rung(), Ok([1, 2, 0, 0]), "as the plugin saw them");
    assert_eq!(code(interrupts.counters_of(2)), Status::BAD_VECTOR);
    assert_eq!(code(interrupts.wait_vector(2, PATIENCE)), Status::BAD_VECTOR);
    assert_eq!(taken(interrupts.wait_many(ANY_VECTOR, 100, PATIENCE)), Ok((0, 1, 0)));
    let last = interrupts.disable().expect("it is enabled");
    assert_eq!((last.received, last.delivered, last.lost), (3, 1, 2), "nobody has taken those of vector 1");

    let _interrupts = doorbell.enable(1..=2048, ALL);
    doorbell.ring(ALL - 1);
    assert_eq!(counters(doorbell.0, ALL - 1).received, 1);
}

/// All vectors from two threads at once, while a third takes what there is: handlers of different vectors run side by side.
fn crowd(doorbell: &Doorbell<'_>) {
    let interrupts = doorbell.enable(ALL..=ALL, ALL);
    let took: [AtomicU64; VECTORS] = Default::default();
    let total = CROWD * (u64::from(ALL) - 1);
    std::thread::scope(|scope| {
        for first in [0, 2] {
            scope.spawn(move || {
                for n in 1..=CROWD {
                    // Both of this thread's are under way at once, and so are the other thread's.
                    for vector in [first, first + 1] {
                        doorbell.client().ring(vector).expect("the device can be rung");
                    }
                    for vector in [first, first + 1] {
                        until("the interrupt arrives", || counters(doorbell.0, vector).received == n);
                    }
                }
            });
        }
        scope.spawn(|| {
            while took.iter().map(|count| count.load(Relaxed)).sum::<u64>() < total {
                let some = interrupts.wait_many(ANY_VECTOR, 3, PATIENCE).expect("something to take");
                took[some.vector as usize].fetch_add(some.got.into(), Relaxed);
            }
        });
    });
    interrupts.disable().expect("it is enabled");
    let took = took.map(AtomicU64::into_inner);
    assert_eq!(took, [CROWD, CROWD, CROWD, 0], "what was taken, by vector");
    expect(doorbell.0, [CROWD; VECTORS], took);
    assert_eq!(doorbell.client().rung(), Ok([CROWD as u32; VECTORS]), "as the plugin saw them");
}

/// CLOSE disables, and hangs up.
fn close(doorbell: &Doorbell<'_>) {
    let interrupts = doorbell.enable(ALL..=ALL, ALL);
    doorbell.ring(1);
    assert_eq!(ready(doorbell.0, Duration::ZERO), PollFlags::IN);
    doorbell.0.connection().close().expect("a session can be closed");
    let ready = ready(doorbell.0, Duration::ZERO);
    assert!(ready.contains(PollFlags::HUP), "{ready:?}");
    assert!(!ready.contains(PollFlags::IN), "{ready:?}: what was there is lost");
    assert_eq!(taken(interrupts.try_take()), Err(Status::CLOSED));
}

/// Checks all counters at rest: those of each vector, and their sum.
#[track_caller]
fn expect(plugin: &Plugin, received: [u64; VECTORS], delivered: [u64; VECTORS]) {
    let mut sum = Counters::default();
    for (vector, (received, delivered)) in (0..ALL).zip(received.into_iter().zip(delivered)) {
        let notified = if vector == SILENT { 0 } else { received };
        let now = counters(plugin, vector);
        // How many deferrals one run of the deferred handler serves is a matter of timing.
        let dpc_runs = now.dpc_runs;
        let available = notified - delivered;
        let want =
            Counters { received, spurious: 0, deferred: received, dpc_runs, notified, delivered, available, lost: 0 };
        assert_eq!(now, want, "vector {vector}");
        sum.add(&now);
    }
    assert_eq!(counters(plugin, ANY_VECTOR), sum, "all together");
}

/// One vector's counters, or all together; what must hold at every look does.
#[track_caller]
fn counters(plugin: &Plugin, vector: u32) -> Counters {
    let now = plugin.connection().int_count(vector).expect("it has the vector").1;
    assert!(now.deferred <= now.received && now.dpc_runs <= now.deferred, "{now:?}");
    assert_eq!(now.notified, now.delivered + now.available + now.lost, "{now:?}");
    now
}

/// Vector, how many were taken, and how many are left.
fn taken(result: kp_abi::Result<Notification>) -> Result<(u32, u32, u64), Status> {
    result.map(|n| (n.vector, n.got, n.available)).map_err(|error| error.status)
}

#[track_caller]
fn code<T: std::fmt::Debug>(result: kp_abi::Result<T>) -> Status {
    result.expect_err("it has to be refused").status
}

/// What poll(2) says of the descriptor. A timeout of 0 only asks.
fn ready(plugin: &Plugin, timeout: Duration) -> PollFlags {
    let descriptor = plugin.as_fd().expect("a device node is a descriptor");
    let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    poll(&mut polled, Some(&timeout)).expect("it can be polled");
    polled[0].revents()
}
