//! Interrupts that arrive during disabling, closing, removal and unload.
//!
//! One thread raises as fast as it can, on a processor of its own; the owner of the interrupt works on another. Disabling and closing
//! do not end before the device was told to interrupt, both before it is quieted and after: the plugin waits for that.
use super::{KINDS, Watchdog, address, check_final, counters, disable, has_node, int_enable, one_arrives, sysfs};
use crate::{
    Unload,
    interrupts::until,
    linux::{load, stay_on, unload},
    registry::guest_test,
};
use kp_abi::{
    Status,
    request::{ANY_VECTOR, kind},
};
use kp_user::Plugin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use trouble_interface::trouble;

const NAME: &str = "trouble";

/// Removals and unloads for each kind of interrupt: these are slow.
const REMOVALS: u32 = 10;

/// Interrupts that disabling waits for, before the device is quieted and after. The first may have been raised before; the second has not.
const MEANWHILE: u32 = 2;

/// Disables `cycles` times with each kind of interrupt, closes as often, and is removed and unloaded some times.
#[guest_test("stress storms", stage = "tear-down", short = "25", long = "100")]
fn interrupts_during_every_teardown_are_accounted_for(cycles: u32) {
    load(NAME);
    stay_on(0);
    for kinds in KINDS {
        let name = if kinds == kind::LINE { "line" } else { "MSI" };
        disables(cycles, kinds);
        closes(cycles, kinds);
        println!("{name}: {cycles} times disabled, and closed, with interrupts meanwhile");
        for _ in 0..REMOVALS {
            removed(kinds);
            unloaded(kinds);
        }
        println!("{name}: {REMOVALS} times removed and unloaded");
    }
    assert_eq!(unload(NAME), Unload::Gone);
}

/// Disables, `cycles` times.
fn disables(cycles: u32, kinds: u32) {
    let (owner, raiser) = (connect(), connect());
    storm(&raiser, |raised| {
        linger(&raiser, MEANWHILE);
        for _ in 0..cycles {
            let _watchdog = Watchdog::new("disabling in a storm");
            int_enable(&owner, kinds);
            until("interrupts arrive", || counters(&owner).1.received >= 2);
            // Sometimes it finds one, sometimes not.
            let _ = owner.connection().int_wait(0, ANY_VECTOR, 3);
            let last = raised.during(|| disable(&owner));
            raised.goes_on();
            assert_eq!(counters(&raiser).1, last, "nothing is counted after the disabling");
        }
        linger(&raiser, 0);
    });
}

/// Closes, `cycles` times.
fn closes(cycles: u32, kinds: u32) {
    let raiser = connect();
    storm(&raiser, |raised| {
        linger(&raiser, MEANWHILE);
        for _ in 0..cycles {
            let _watchdog = Watchdog::new("closing in a storm");
            let owner = connect();
            int_enable(&owner, kinds);
            until("interrupts arrive", || counters(&owner).1.received >= 2);
            assert_eq!(raised.during(|| owner.close()), Ok(()));
            check_final(&counters(&raiser).1);
            assert_eq!(raiser.query().map(|query| query.sessions), Ok(1));
        }
        linger(&raiser, 0);
    });
    works(&raiser, kinds);
}

/// The device is taken away in the middle of a storm, and given back.
fn removed(kinds: u32) {
    let _watchdog = Watchdog::new("removal in a storm");
    let (owner, raiser) = (connect(), connect());
    let address = address(&owner);
    int_enable(&owner, kinds);
    storm(&raiser, |_| {
        until("interrupts arrive", || counters(&owner).1.received >= 2);
        sysfs(NAME, "unbind", &address);
        assert_eq!(owner.connection().int_wait(0, ANY_VECTOR, 1), Err(Status::DEVICE_GONE.into()));
    });
    assert_eq!(trouble::Client(&raiser).raise(1), Err(Status::DEVICE_GONE.into()));
    drop((owner, raiser));
    sysfs(NAME, "bind", &address);
    until("the node is back", || has_node(NAME));
}

/// The last thing that its clients do before the unload is to raise.
fn unloaded(kinds: u32) {
    let _watchdog = Watchdog::new("unload after a storm");
    let (owner, raiser) = (connect(), connect());
    int_enable(&owner, kinds);
    storm(&raiser, |_| until("interrupts arrive", || counters(&owner).1.received >= 2));
    raise(&owner);
    drop(owner);
    raise(&raiser);
    drop(raiser);
    assert_eq!(unload(NAME), Unload::Gone);
    load(NAME);
    until("the node is there", || has_node(NAME));
    works(&connect(), kinds);
}

/// How often the device was told to interrupt.
struct Raised(AtomicU64);

impl Raised {
    /// Runs `f`, which does not end before the device was told to interrupt, and is.
    fn during<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.0.load(SeqCst);
        let result = f();
        assert!(self.0.load(SeqCst) >= before + u64::from(MEANWHILE), "nobody told it to interrupt meanwhile");
        result
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
            while !over.load(SeqCst) && trouble::Client(raiser).raise(1).is_ok() {
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

fn connect() -> Plugin {
    Plugin::open_interface(NAME, trouble::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn linger(plugin: &Plugin, raises: u32) {
    trouble::Client(plugin).linger(raises).unwrap_or_else(|error| panic!("linger: {error}"));
}

fn raise(plugin: &Plugin) {
    trouble::Client(plugin).raise(1).unwrap_or_else(|error| panic!("raise: {error}"));
}

/// The device is free, and all of it works: calls, an interrupt, its notification.
fn works(plugin: &Plugin, kinds: u32) {
    assert_eq!(trouble::Client(plugin).invert(5), Ok(!5));
    int_enable(plugin, kinds);
    raise(plugin);
    one_arrives(plugin);
}
