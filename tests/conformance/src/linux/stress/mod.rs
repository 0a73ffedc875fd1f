//! Tear-down while something is going on: clients killed in every state, handles that outlive their process, devices unbound and
//! modules unloaded under fire.
//!
//! Every state is read from the driver's own counters before anything is torn down in it, so a run that passes has been there.
mod callers;
mod charged;
mod fork;
mod kills;
mod machine;
mod pinned;
mod rounds;
mod stall;
mod stalled;
mod storms;
mod turns;
mod unbind;

use crate::{Subject, World, interrupts::until, linux::Guest};
use edu_interface::edu;
use kp_abi::{
    Counters,
    request::{ANY_VECTOR, kind},
    ring::{INLINE, Submission},
    zerocopy::FromZeros,
};
use kp_user::{Plugin, Ring};
use std::{
    path::Path,
    process::{Command, exit},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    time::Duration,
};

/// How long one tear-down may take before it counts as a hang: no measure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The kinds of interrupt that edu has.
const KINDS: [u32; 2] = [kind::LINE, kind::MSI];

/// This program again, with these arguments of `stress`.
fn again(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a file"));
    command.arg("stress").args(arguments);
    command
}

/// Ends the program if it is not dropped in time. A thread that hangs in the kernel cannot be joined, so a panic would not do.
pub(super) struct Watchdog {
    _until_dropped: Sender<()>,
}

impl Watchdog {
    pub(super) fn new(what: &'static str) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("error: waited in vain: {what}");
                exit(1);
            }
        });
        Watchdog { _until_dropped: sender }
    }
}

fn connect() -> Plugin {
    Guest.connect(Subject::Edu)
}

/// Counters and generation, checked: no notification is ever unaccounted for.
pub(super) fn counters(plugin: &Plugin) -> (u64, Counters) {
    let (generation, c) = plugin.connection().int_count(ANY_VECTOR).expect("an open session can count");
    assert_eq!(c.notified, c.delivered + c.available + c.lost, "{c:?}");
    (generation, c)
}

/// The counters of an enabling that has ended: nothing is left to be taken, and every deferral has had its DPC.
fn check_final(c: &Counters) {
    assert_eq!(c.available, 0, "{c:?}");
    assert_eq!(c.notified, c.delivered + c.lost, "{c:?}");
    // edu asks for one notification per deferral.
    assert_eq!(c.deferred, c.notified, "{c:?}");
}

/// Makes each interrupt a notification, and enables it.
pub(super) fn enable(plugin: &Plugin, kinds: u32) {
    edu::Client(plugin).defer_every(1).expect("the plugin is told how often to defer");
    int_enable(plugin, kinds);
}

fn int_enable(plugin: &Plugin, kinds: u32) {
    plugin.connection().int_enable(kinds, 1, 1, &[]).unwrap_or_else(|error| panic!("enable: {error}"));
}

fn disable(plugin: &Plugin) -> Counters {
    let (_, c) = plugin.connection().int_disable().unwrap_or_else(|error| panic!("disable: {error}"));
    check_final(&c);
    c
}

pub(super) fn raise(plugin: &Plugin) {
    edu::Client(plugin).raise(1).unwrap_or_else(|error| panic!("raise: {error}"));
}

/// The device is free, and all of it works: calls, an interrupt, its notification.
pub(super) fn works(plugin: &Plugin, kinds: u32) {
    assert_eq!(edu::Client(plugin).factorial(5), Ok(120));
    enable(plugin, kinds);
    raise(plugin);
    one_arrives(plugin);
}

/// One interrupt was raised since the enabling: its notification comes, and disabling finds nothing else.
fn one_arrives(plugin: &Plugin) {
    let taken = plugin.connection().int_wait(PATIENCE.as_nanos() as u64, ANY_VECTOR, 1);
    assert_eq!(taken.map(|taken| taken.got), Ok(1));
    let c = disable(plugin);
    assert_eq!((c.received, c.delivered, c.lost), (1, 1, 0), "{c:?}");
}

/// The number of a message of edu's, and its argument.
pub(super) type Message = (u32, u32);

/// A ring full of messages whose effect can be counted: each interrupt comes a few milliseconds after the one before. `last` is its last message.
pub(super) fn raising(plugin: &Plugin, entries: u32, last: Option<Message>) -> Ring {
    const RAISE: Message = (5, 1);
    const FACTORIAL: Message = (4, 5_000_000);
    let mut ring = Ring::set_up(plugin.connection(), entries, 8).expect("the driver has rings");
    let mut queues = ring.queues();
    let pairs = (0..entries).map(|n| if n % 2 == 0 { RAISE } else { FACTORIAL });
    let kept = entries as usize - usize::from(last.is_some());
    for (message, argument) in pairs.take(kept).chain(last) {
        let out_len = if message == FACTORIAL.0 { 4 } else { 0 };
        let inline = [argument.into(), 0, 0, 0];
        let submission =
            Submission { message, flags: INLINE, args_len: 4, inline, out_len, ..Submission::new_zeroed() };
        assert!(queues.push(&submission), "the ring has a place for each message");
    }
    queues.publish();
    drop(queues);
    ring
}

/// Its PCI address, as sysfs writes it.
pub(super) fn address(plugin: &Plugin) -> String {
    text(plugin.query().expect("a plugin can always be asked").bus_address)
}

/// QUERY's PCI address, as sysfs writes it.
pub(super) fn text(address: u64) -> String {
    let (domain, bus, slot, function) = (address >> 16, address >> 8 & 0xff, address >> 3 & 0x1f, address & 7);
    format!("{domain:04x}:{bus:02x}:{slot:02x}.{function}")
}

/// Has the kernel take a plugin's driver from the device, or give it back: `unbind` or `bind`.
pub(super) fn sysfs(plugin: &str, what: &str, address: &str) {
    let path = format!("/sys/bus/pci/drivers/kp_{plugin}/{what}");
    std::fs::write(&path, address).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Is the node of the plugin's first device there?
pub(super) fn has_node(plugin: &str) -> bool {
    Path::new(&format!("/dev/kp/{plugin}.0")).exists()
}
