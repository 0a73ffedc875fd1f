//! Two devices on one line. What one of them does while nobody has enabled it is nothing to the other; and a handler that claims
//! what is the other's cannot hang the machine.
use super::{Loaded, NAME, PATIENCE_NS, calls_as_it_is_freed, counters, one_interrupt};
use crate::{interrupts::until, linux::stress::address, registry::guest_test};
use kp_abi::{
    Status,
    request::{ANY_VECTOR, kind},
};
use kp_user::Plugin;
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};
use trouble_interface::trouble;

/// The devices that the guest has.
const DEVICES: usize = 3;
/// Handler runs after which the guard acts. If they took too long for a storm, it counts anew.
const RUNS: u64 = 200_000;
/// The command register, in configuration space.
const COMMAND: u64 = 4;
/// Bit of the command register: the device may write by itself.
const BUS_MASTER: u16 = 0x4;
/// Bit of the command register: the line stays down.
const LINE_OFF: u16 = 0x400;

/// Nor can a handler that claims what is the other's hang the machine.
#[guest_test("planted neighbour", stage = "planted")]
fn two_devices_on_one_line_do_not_disturb_each_other() {
    let loaded = Loaded::new();
    let mut devices: Vec<Device> = (0..DEVICES).map(Device::open).collect();
    let shares = |one: &Device, other: &Device| one.address != other.address && one.irq == other.irq;
    let at = devices.iter().position(|one| devices.iter().any(|other| shares(one, other)));
    let user = devices.swap_remove(at.expect("two devices have one line"));
    let at = devices.iter().position(|other| shares(&user, other));
    let stray = devices.swap_remove(at.expect("the other one"));
    println!("{} and {} on line {}", user.address, stray.address, user.irq);
    lives_on(&user, &stray, "after it was bound");
    for (name, kinds) in [("MSI", kind::MSI), ("line", kind::LINE)] {
        stray.enable(kinds);
        assert_eq!(stray.may_raise_its_line(), kinds == kind::LINE, "{name} is enabled");
        assert_eq!(stray.command() & BUS_MASTER != 0, kinds == kind::MSI, "a message is a write of the device's own");
        stray.plugin.connection().int_disable().expect("the interrupt can be disabled");
        assert_eq!(stray.command() & BUS_MASTER, 0, "{name} is disabled, and nobody else wants the device to write");
        lives_on(&user, &stray, &format!("after {name} was disabled"));
    }
    claims_all(&user, &stray);
    drop((user, stray, devices));
    drop(loaded);
}

/// `stray` interrupts while nobody has enabled it.
fn lives_on(user: &Device, stray: &Device, when: &str) {
    println!("  {when}");
    assert!(!stray.may_raise_its_line(), "{when}: nobody would answer it");
    user.enable(kind::LINE);
    stray.raise();
    (0..3).for_each(|_| one_interrupt(&user.plugin));
    let (_, last) = user.plugin.connection().int_disable().expect("the interrupt can be disabled");
    let found = (last.received, last.spurious, last.delivered);
    assert_eq!(found, (3, calls_as_it_is_freed(kind::LINE), 3), "{when}: the other device lives on");
}

/// `stray` asserts the line, which no driver answers for, and the handler of `user` says that it were its own.
fn claims_all(user: &Device, stray: &Device) {
    println!("  claimed by the wrong one");
    let (client, connection) = (trouble::Client(&user.plugin), user.plugin.connection());
    user.enable(kind::LINE);
    one_interrupt(&user.plugin);
    assert_eq!(client.greedy(true), Ok(()));
    stray.let_it_raise_its_line(true);
    stray.raise();
    let told = connection.int_wait(PATIENCE_NS, ANY_VECTOR, 1);
    assert_eq!(told, Err(Status::INTERRUPT_STORM.into()));
    // What is not its own is nobody's: the kernel turns the line off, and from then on only looks at it now and then.
    until("the kernel's own guard has seen what nobody handles", || counters(&user.plugin).spurious >= RUNS / 4);
    until("the line is off", || {
        let before = counters(&user.plugin).spurious;
        (0..10_000).for_each(|_| assert_eq!(client.ping(), Ok(())));
        counters(&user.plugin).spurious < before + 1_000
    });
    let (_, last) = connection.int_disable().expect("the interrupt can be disabled");
    // The one before may be counted too: no deferred handler has run since.
    assert!(last.received >= RUNS && last.received % RUNS <= 2, "claimed no more: {last:?}");
    println!("  {} were claimed, {} not", last.received, last.spurious);
    stray.let_it_raise_its_line(false);
    assert_eq!(client.greedy(false), Ok(()));
    user.enable(kind::LINE);
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 1), Err(Status::TIMEOUT.into()), "it is no storm any more");
    one_interrupt(&user.plugin);
    // The kernel goes on looking at a line that it has turned off once: some of its looks find nothing.
    let (_, last) = connection.int_disable().expect("the interrupt can be disabled");
    assert_eq!((last.received, last.delivered), (1, 1), "the next enabling works: {last:?}");
}

/// One device, opened.
struct Device {
    plugin: Plugin,
    /// As sysfs writes it.
    address: String,
    /// The line's number.
    irq: String,
}

impl Device {
    fn open(instance: usize) -> Self {
        let name = format!("{NAME}.{instance}");
        let plugin =
            Plugin::open_interface(&name, trouble::INTERFACE, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let address = address(&plugin);
        let irq = fs::read_to_string(path(&address, "irq")).expect("a device has a line");
        Self { plugin, address, irq: irq.trim().to_owned() }
    }

    fn enable(&self, kinds: u32) {
        let got = self.plugin.connection().int_enable(kinds, 1, 1, &[]).map(|got| got.kind);
        assert_eq!(got, Ok(kinds));
    }

    fn raise(&self) {
        assert_eq!(trouble::Client(&self.plugin).raise(1), Ok(()));
    }

    fn may_raise_its_line(&self) -> bool {
        self.command() & LINE_OFF == 0
    }

    fn command(&self) -> u16 {
        let mut word = [0; 2];
        let config = File::open(path(&self.address, "config")).expect("there is configuration space");
        config.read_exact_at(&mut word, COMMAND).expect("it can be read");
        u16::from_le_bytes(word)
    }

    /// What a driver that knows nothing of its line leaves behind.
    fn let_it_raise_its_line(&self, on: bool) {
        let word = if on { self.command() & !LINE_OFF } else { self.command() | LINE_OFF };
        let config = File::options().write(true).open(path(&self.address, "config")).expect("there it is");
        config.write_all_at(&word.to_le_bytes(), COMMAND).expect("it can be written");
    }
}

fn path(address: &str, file: &str) -> String {
    format!("/sys/bus/pci/devices/{address}/{file}")
}
