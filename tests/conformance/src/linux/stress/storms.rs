//! Interrupts that arrive during disabling, closing, removal and unload.
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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Removals and unloads for each kind of interrupt: these are slow.
const REMOVALS: u32 = 10;

/// Disables `cycles` times with each kind of interrupt, closes as often, and is removed and unloaded some times.
pub fn run(cycles: u32) {
    Guest.load(Subject::Edu);
    for kinds in KINDS {
        let name = if kinds == kind::LINE { "line" } else { "MSI" };
        let hit = disables(cycles, kinds);
        println!("{name}: {cycles} times disabled, {hit} times with an interrupt meanwhile");
        assert!(hit > 0, "{name}: no interrupt was raised during any disabling");
        let hit = closes(cycles, kinds);
        println!("{name}: {cycles} times closed, {hit} times with an interrupt meanwhile");
        assert!(hit > 0, "{name}: no interrupt was raised during any close");
        for _ in 0..REMOVALS {
            removed(kinds);
            unloaded(kinds);
        }
        println!("{name}: {REMOVALS} times removed and unloaded");
    }
    assert_eq!(Guest.unload(Subject::Edu), Unload::Gone);
}

/// How many cycles had an interrupt raised while INT_DISABLE was at work.
fn disables(cycles: u32, kinds: u32) -> u32 {
    let (owner, raiser) = (connect(), connect());
    let mut hit = 0;
    storm(&raiser, |raised| {
        for cycle in 0..cycles {
            let _watchdog = Watchdog::new("disabling in a storm");
            enable(&owner, kinds);
            until("interrupts arrive", || counters(&owner).1.received >= 2);
            if cycle % 2 == 0 {
                until("a notification is taken", || owner.connection().int_wait(0, ANY_VECTOR, 3).is_ok());
            }
            let before = raised.load(SeqCst);
            let last = disable(&owner);
            let after = raised.load(SeqCst);
            hit += u32::from(after > before);
            until("the storm goes on", || raised.load(SeqCst) > after + 1);
            assert_eq!(counters(&raiser).1, last, "nothing is counted after the disabling");
        }
    });
    hit
}

/// How many cycles had an interrupt raised while CLOSE was at work.
fn closes(cycles: u32, kinds: u32) -> u32 {
    let raiser = connect();
    let mut hit = 0;
    storm(&raiser, |raised| {
        for _ in 0..cycles {
            let _watchdog = Watchdog::new("closing in a storm");
            let owner = connect();
            enable(&owner, kinds);
            until("interrupts arrive", || counters(&owner).1.received >= 2);
            let before = raised.load(SeqCst);
            owner.close().expect("an open session can be closed");
            hit += u32::from(raised.load(SeqCst) > before);
            check_final(&counters(&raiser).1);
            assert_eq!(raiser.query().map(|query| query.sessions), Ok(1));
        }
    });
    works(&raiser, kinds);
    hit
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

/// Runs `f` while another thread has the device interrupt as fast as it can; `f` sees how often it did.
fn storm<R>(raiser: &Plugin, f: impl FnOnce(&AtomicU64) -> R) -> R {
    let (raised, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Also when `f` panics.
        let _over = Over(&over);
        scope.spawn(|| {
            while !over.load(SeqCst) && edu::Client(raiser).raise(1).is_ok() {
                raised.fetch_add(1, SeqCst);
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
