//! Interrupts that arrive during disabling, closing, removal and unload.
//!
//! One thread raises as fast as it can, on a processor of its own; the owner of the interrupt works on another. A cycle counts only
//! if the device was told to interrupt while the request was at work.
use super::{
    KINDS, Watchdog, address, check_final, connect, counters, disable, enable, has_node, raise, sysfs, until, works,
};
use crate::{Subject, Unload, World, linux::Guest};
use edu_interface::edu;
use kp_abi::{
    Status,
    request::{ANY_VECTOR, kind},
};
use kp_user::Plugin;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

/// Removals and unloads for each kind of interrupt: these are slow.
const REMOVALS: u32 = 10;

/// How long may be spent on cycles that count: on a busy machine the guest's processors do not always run at once.
const HITS: Duration = Duration::from_secs(240);

/// Disables `cycles` times with each kind of interrupt, closes as often, and is removed and unloaded some times.
pub fn run(cycles: u32) {
    Guest.load(Subject::Edu);
    stay_on(0);
    for kinds in KINDS {
        let name = if kinds == kind::LINE { "line" } else { "MSI" };
        println!("{name}: {cycles} times disabled with an interrupt meanwhile, of {}", disables(cycles, kinds));
        println!("{name}: {cycles} times closed with an interrupt meanwhile, of {}", closes(cycles, kinds));
        for _ in 0..REMOVALS {
            removed(kinds);
            unloaded(kinds);
        }
        println!("{name}: {REMOVALS} times removed and unloaded");
    }
    assert_eq!(Guest.unload(Subject::Edu), Unload::Gone);
}

/// Disables until an interrupt was raised during `cycles` of these. How many it took.
fn disables(cycles: u32, kinds: u32) -> u32 {
    let (owner, raiser) = (connect(), connect());
    storm(&raiser, |raised| {
        hit(cycles, || {
            enable(&owner, kinds);
            until("interrupts arrive", || counters(&owner).1.received >= 2);
            // Sometimes it finds one, sometimes not.
            let _ = owner.connection().int_wait(0, ANY_VECTOR, 3);
            let (last, meanwhile) = raised.during(|| disable(&owner));
            raised.goes_on();
            assert_eq!(counters(&raiser).1, last, "nothing is counted after the disabling");
            meanwhile
        })
    })
}

/// Closes until an interrupt was raised during `cycles` of these. How many it took.
fn closes(cycles: u32, kinds: u32) -> u32 {
    let raiser = connect();
    let count = storm(&raiser, |raised| {
        hit(cycles, || {
            let owner = connect();
            enable(&owner, kinds);
            until("interrupts arrive", || counters(&owner).1.received >= 2);
            let (closed, meanwhile) = raised.during(|| owner.close());
            assert_eq!(closed, Ok(()));
            check_final(&counters(&raiser).1);
            assert_eq!(raiser.query().map(|query| query.sessions), Ok(1));
            meanwhile
        })
    });
    works(&raiser, kinds);
    count
}

/// Repeats `cycle` until it has come out true so many times. How many it took.
fn hit(wanted: u32, mut cycle: impl FnMut() -> bool) -> u32 {
    let start = Instant::now();
    let (mut count, mut hits) = (0, 0);
    while hits < wanted {
        assert!(start.elapsed() < HITS, "only {hits} of {count} cycles had an interrupt meanwhile");
        let _watchdog = Watchdog::new("tear-down in a storm");
        count += 1;
        hits += u32::from(cycle());
    }
    count
}

/// The device is taken away in the middle of a storm, and given back.
fn removed(kinds: u32) {
    let _watchdog = Watchdog::new("removal in a storm");
    let (owner, raiser) = (connect(), connect());
    let address = address(&owner);
    enable(&owner, kinds);
    storm(&raiser, |_| {
        until("interrupts arrive", || counters(&owner).1.received >= 2);
        sysfs("unbind", &address);
        assert_eq!(owner.connection().int_wait(0, ANY_VECTOR, 1), Err(Status::DEVICE_GONE.into()));
    });
    assert_eq!(edu::Client(&raiser).raise(1), Err(Status::DEVICE_GONE.into()));
    drop((owner, raiser));
    sysfs("bind", &address);
    until("the node is back", has_node);
}

/// The last thing that its clients do before the unload is to raise.
fn unloaded(kinds: u32) {
    let _watchdog = Watchdog::new("unload after a storm");
    let (owner, raiser) = (connect(), connect());
    enable(&owner, kinds);
    storm(&raiser, |_| until("interrupts arrive", || counters(&owner).1.received >= 2));
    raise(&owner);
    drop(owner);
    raise(&raiser);
    drop(raiser);
    assert_eq!(Guest.unload(Subject::Edu), Unload::Gone);
    Guest.load(Subject::Edu);
    until("the node is there", has_node);
    works(&connect(), kinds);
}

/// How often the device was told to interrupt.
struct Raised(AtomicU64);

impl Raised {
    /// Runs `f`. True: the device was told to interrupt meanwhile.
    fn during<R>(&self, f: impl FnOnce() -> R) -> (R, bool) {
        let before = self.0.load(SeqCst);
        let result = f();
        // The first may have begun before; the second has not.
        (result, self.0.load(SeqCst) >= before + 2)
    }

    /// Waits until it was told twice more.
    fn goes_on(&self) {
        let before = self.0.load(SeqCst);
        until("the storm goes on", || self.0.load(SeqCst) >= before + 2);
    }
}

/// Runs `f` while another thread has the device interrupt as fast as it can.
fn storm<R>(raiser: &Plugin, f: impl FnOnce(&Raised) -> R) -> R {
    let (raised, over) = (Raised(AtomicU64::new(0)), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Also when `f` panics.
        let _over = Over(&over);
        scope.spawn(|| {
            stay_on(1);
            while !over.load(SeqCst) && edu::Client(raiser).raise(1).is_ok() {
                raised.0.fetch_add(1, SeqCst);
            }
        });
        f(&raised)
    })
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Keeps this thread on one processor.
fn stay_on(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).expect("the guest has two processors");
}
