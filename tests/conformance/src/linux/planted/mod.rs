//! What goes wrong on purpose, or nearly: panics, leaks, interrupts that never end, a machine that goes to sleep, errors of a bus. The plugin for it is
//! `tests/plugins/trouble`.
mod coalesced;
mod command;
mod errors;
mod frozen;
mod hog;
mod hung;
mod kept;
mod leak;
mod locks;
mod neighbour;
mod panic;
mod reset;
mod storm;
mod suspend;
mod transfers;

pub(super) use locks::looks as looks_for_deadlocks;
pub(super) use suspend::{sleep_and_wake, sleep_as_far_as};

use super::{load, unload};
use crate::{Unload, interrupts::until};
use kp_abi::{
    Counters,
    request::{ANY_VECTOR, kind},
};
use kp_user::Plugin;
use std::fs;
use trouble_interface::trouble;

const NAME: &str = "trouble";
/// A hang, not a measure.
const PATIENCE_NS: u64 = 60_000_000_000;

/// The module, loaded until it is dropped.
struct Loaded;

impl Loaded {
    fn new() -> Self {
        load(NAME);
        Loaded
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let gone = unload(NAME);
        assert!(std::thread::panicking() || gone == Unload::Gone, "{NAME} is still in use");
    }
}

fn open(data: &[u8]) -> Plugin {
    Plugin::open_interface(NAME, trouble::INTERFACE, data).unwrap_or_else(|error| panic!("{error}"))
}

/// One interrupt, whose notification is taken.
fn one_interrupt(plugin: &Plugin) {
    let before = counters(plugin).dpc_runs;
    assert_eq!(trouble::Client(plugin).raise(1), Ok(()));
    let waited = plugin.connection().int_wait(PATIENCE_NS, ANY_VECTOR, 1);
    assert_eq!(waited.map(|notification| notification.got), Ok(1));
    until("the deferred handler is done", || counters(plugin).dpc_runs == before + 1);
}

fn counters(plugin: &Plugin) -> Counters {
    plugin.connection().int_count(ANY_VECTOR).expect("an open session can count").1
}

/// How often this kernel calls the handler of a shared line by itself as it is freed, when the device is quiet: 6.12-sanitised does, once
/// (CONFIG_DEBUG_SHIRQ).
fn calls_as_it_is_freed(kinds: u32) -> u64 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel has a release");
    u64::from(kinds == kind::LINE && release.contains("-kp-sanitised"))
}
