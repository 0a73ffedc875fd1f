//! The machine changes under a device that interrupts: a processor goes and comes back, interrupts move to another one, the device itself is
//! taken off its bus and found again.
use super::{KINDS, PATIENCE, Watchdog, address, counters, disable, has_node, int_enable, one_arrives};
use crate::{
    Unload,
    interrupts::until,
    linux::{load, unload},
    registry::guest_test,
};
use kp_abi::{Status, request::ANY_VECTOR};
use kp_user::Plugin;
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};
use trouble_interface::trouble;

const NAME: &str = "trouble";

/// A processor that can go. It is not the one that boots.
const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";
/// Of both processors of the guest, as the kernel writes sets: each alone, and all.
const MASKS: [&str; 3] = ["1", "2", "3"];

/// Interrupts go to a processor that goes, and comes back, `times` times with each kind and under each load.
#[guest_test("stress processors", stage = "machine", short = "5", long = "10")]
fn a_processor_goes_under_interrupts_and_none_is_lost(times: u32) {
    under_interrupts(times, |line, _| {
        write(&affinity(line), MASKS[1]);
        write(ONLINE, "0");
        write(ONLINE, "1");
        write(&affinity(line), MASKS[2]);
    });
}

/// They are sent to one processor, to the other, to both, `times` times with each kind and under each load.
#[guest_test("stress affinity", stage = "machine", short = "50", long = "300")]
fn interrupts_move_to_another_processor_and_none_is_lost(times: u32) {
    under_interrupts(times, |line, n| write(&affinity(line), MASKS[n as usize % MASKS.len()]));
}

/// An interrupt is disabled and enabled again, `times` times with each kind, while it moves and the device sends as fast as it can. A message that is
/// sent after that is nobody's: the kernel would say so.
#[guest_test("stress moving", stage = "machine", short = "50", long = "300")]
fn an_interrupt_that_moves_is_disabled_and_sends_no_more(times: u32) {
    load(NAME);
    for kinds in KINDS {
        let (owner, raiser) = (connect(), connect());
        let line = format!("/sys/bus/pci/devices/{}/irq", address(&owner));
        int_enable(&owner, kinds);
        check_remapped(fs::read_to_string(&line).expect("a device that interrupts has a line").trim());
        owner.connection().int_disable().expect("it is enabled");
        let mut masks = MASKS.iter().cycle();
        // Its number is another one each time, and between two there is none.
        let mut move_it = || {
            let line = fs::read_to_string(&line).expect("a device that interrupts has a line");
            let mask = masks.next().expect("there is no end of them");
            drop(fs::write(affinity(line.trim()), mask));
            true
        };
        let cycles = || {
            for _ in 0..times {
                let _watchdog = Watchdog::new("an interrupt that moves and is disabled");
                int_enable(&owner, kinds);
                go_on(&owner);
                owner.connection().int_disable().expect("it is enabled");
            }
        };
        storm(&raiser, || while_doing(cycles, &mut move_it));
    }
    assert_eq!(unload(NAME), Unload::Gone);
}

/// The device is taken off its bus in the middle of a storm, and is found again, `times` times with each kind.
#[guest_test("stress rescan", stage = "machine", short = "3", long = "10")]
fn a_device_is_taken_off_its_bus_and_found_again(times: u32) {
    load(NAME);
    for _ in 0..times {
        KINDS.into_iter().for_each(removed);
    }
    println!("{} times", 2 * times);
    assert_eq!(unload(NAME), Unload::Gone);
}

fn removed(kinds: u32) {
    let _watchdog = Watchdog::new("a device that is taken off its bus");
    let (owner, raiser) = (connect(), connect());
    let address = address(&owner);
    int_enable(&owner, kinds);
    storm(&raiser, || {
        go_on(&owner);
        write(&format!("/sys/bus/pci/devices/{address}/remove"), "1");
        assert_eq!(owner.connection().int_wait(0, ANY_VECTOR, 1), Err(Status::DEVICE_GONE.into()));
    });
    assert_eq!(trouble::Client(&raiser).ping(), Err(Status::DEVICE_GONE.into()));
    assert!(!has_node(NAME));
    drop((owner, raiser));
    write("/sys/bus/pci/rescan", "1");
    until("the node is back", || has_node(NAME));
    let plugin = connect();
    int_enable(&plugin, kinds);
    raise(&plugin);
    one_arrives(&plugin);
}

/// Changes the machine, `times` times with each kind: while the device interrupts as fast as it can, and interrupts go on after each change; and
/// while each interrupt is waited for before the next one, so that one that is lost is missed.
fn under_interrupts(times: u32, change: impl Fn(&str, u32) + Sync) {
    load(NAME);
    for kinds in KINDS {
        let (owner, raiser) = (connect(), connect());
        int_enable(&owner, kinds);
        let line = fs::read_to_string(format!("/sys/bus/pci/devices/{}/irq", address(&owner)));
        let line = line.expect("a device that interrupts has a line").trim().to_owned();
        check_remapped(&line);
        storm(&raiser, || {
            for n in 0..times {
                let _watchdog = Watchdog::new("a change in a storm");
                change(&line, n);
                go_on(&owner);
            }
        });
        take_all(&owner);
        let awaited = each_awaited(&owner, || {
            for n in 0..times {
                let _watchdog = Watchdog::new("a change between two interrupts");
                change(&line, n);
            }
        });
        let last = disable(&owner);
        assert!(awaited > 0 && last.received > awaited);
        println!("{} interrupts, and {awaited} that were waited for, one after the other", last.received - awaited);
    }
    assert_eq!(unload(NAME), Unload::Gone);
}

/// Interrupts are counted still.
fn go_on(owner: &Plugin) {
    let before = counters(owner).1.received;
    until("interrupts go on", || counters(owner).1.received >= before + 2);
}

/// Runs `f` while another thread has the device interrupt as fast as it can.
fn storm(raiser: &Plugin, f: impl FnOnce()) {
    while_doing(f, || trouble::Client(raiser).raise(1).is_ok());
}

/// Runs `f` while interrupts are raised and waited for, one after the other. How many there were.
fn each_awaited(owner: &Plugin, f: impl FnOnce() + Send) -> u64 {
    let (mut awaited, over) = (0, AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _over = Over(&over);
            f();
        });
        while !over.load(SeqCst) {
            raise(owner);
            let taken = owner.connection().int_wait(PATIENCE.as_nanos() as u64, ANY_VECTOR, 1);
            assert_eq!(taken.map(|taken| taken.got), Ok(1), "after {awaited}");
            awaited += 1;
        }
    });
    awaited
}

/// Runs `f` while another thread does something again and again, until that says no.
fn while_doing(f: impl FnOnce(), mut again: impl FnMut() -> bool + Send) {
    let over = &AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when `f` panics.
        let _over = Over(over);
        scope.spawn(move || while !over.load(SeqCst) && again() {});
        f();
    });
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Takes each notification that there is. Nothing raises any more.
fn take_all(owner: &Plugin) {
    until("each deferral has had its run", || {
        let (_, c) = counters(owner);
        c.deferred == c.notified
    });
    let taken = owner.connection().int_wait(0, ANY_VECTOR, u32::MAX);
    assert!(taken.is_ok(), "{taken:?}");
    assert_eq!(counters(owner).1.available, 0);
}

/// A message without mask bits, as edu's is, is moved in two writes by Linux itself, and what is sent between them goes astray: here an IOMMU has to
/// move it.
fn check_remapped(line: &str) {
    let interrupts = fs::read_to_string("/proc/interrupts").expect("the guest has a /proc");
    let mut lines = interrupts.lines().map(str::trim);
    let is = lines.find(|is| is.starts_with(&format!("{line}:"))).unwrap_or_else(|| panic!("{line}: no such line"));
    assert!(is.contains("IR-"), "no IOMMU moves this interrupt: {is}");
}

fn affinity(line: &str) -> String {
    format!("/proc/irq/{line}/smp_affinity")
}

fn write(path: &str, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn connect() -> Plugin {
    Plugin::open_interface(NAME, trouble::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn raise(plugin: &Plugin) {
    trouble::Client(plugin).raise(1).unwrap_or_else(|error| panic!("raise: {error}"));
}
