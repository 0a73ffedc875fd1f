//! Configuration space, resets by it, and vectors of MSI-X through the interface of the bus for its table.
use super::resources::{connect, finish, started, started_on};
use crate::{
    interrupts::until,
    pcie::{model::Card, reset, vectors},
    registry::guest_test,
};
use kp_abi::Status;
use kp_core::pci::capability;
use kp_sim::{
    ConfigSpace,
    device::{DeviceModel, Identity, IrqKind, Memory},
};
use kp_user::{Enable, Plugin};
use pcie_interface::pcie;
use std::collections::VecDeque;
use windows_loader::{Assigned, MSIX_TABLE_INTERFACE, Machine, Options, Shape};

const PATH: &str = r"\\.\kp-pcie.0";

/// A device says what it has.
#[guest_test(stage = "loader")]
fn configuration_space_describes(drivers: &str) {
    let loaded = started("pcie", drivers, Card::net(), Shape::default(), Assigned::Nothing);
    let plugin = connect(&loaded.process, PATH, pcie::INTERFACE);
    let client = pcie::Client(&plugin);
    let facts = client.facts().expect("facts");
    assert_eq!((facts.capabilities, facts.extended, facts.express, facts.aer), (3, 2, 0x40, 0x100));
    assert_eq!((facts.vectors, facts.table, facts.link), (5, 3, [1; 4]));
    let mut serial = [0; 9];
    assert_eq!(client.vpd(12, 9, &mut serial).expect("vital product data"), b"\x0612345678");
    drop(plugin);
    finish(loaded);
}

/// Vectors are masked, and nothing of them is lost.
#[guest_test(stage = "loader")]
fn vectors_are_masked_one_by_one(drivers: &str) {
    let loaded = started("pcie", drivers, Card::switch(), Shape::default(), Assigned::Messages(4));
    vectors(&connect(&loaded.process, PATH, pcie::INTERFACE));
    finish(loaded);
}

/// A device is reset, and answers as it did.
#[guest_test(stage = "loader")]
fn a_device_is_reset_by_configuration_space(drivers: &str) {
    let loaded = started("pcie", drivers, Card::random(), Shape::default(), Assigned::Nothing);
    reset(&connect(&loaded.process, PATH, pcie::INTERFACE), 2);
    finish(loaded);
}

/// The switch, with messages of one kind, and a reset that clears them.
struct Resettable {
    space: ConfigSpace,
    kind: IrqKind,
    messages: VecDeque<u16>,
}

impl Resettable {
    fn new(capability: u8, kind: IrqKind, control: u16) -> Self {
        let mut express = [0; 0x3A];
        (express[0x00], express[0x05]) = (2, 1 << 4); // Device Capabilities: it can be reset
        let mut body = [0; 0x16];
        body[..2].copy_from_slice(&control.to_le_bytes());
        let space =
            ConfigSpace::new().capability(0x40, capability::PCI_EXPRESS, &express).capability(0x80, capability, &body);
        Self { space, kind, messages: VecDeque::new() }
    }

    /// Eight entries.
    fn msix() -> Self {
        Self::new(capability::MSI_X, IrqKind::MsiX, 7)
    }
}

impl DeviceModel for Resettable {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1B36, device: 0x0006 }
    }
    fn config_read(&mut self, offset: u16, width: u8) -> Option<u32> {
        ([0x06, 0x34].contains(&offset) || offset >= 0x40).then(|| self.space.read(offset, width))
    }
    fn config_write(&mut self, offset: u16, width: u8, value: u32) -> bool {
        if offset >= 0x40 {
            self.space.write(offset, width, value);
        }
        offset >= 0x40
    }
    fn read(&mut self, _: usize, _: u64, _: u8, _: &mut dyn Memory) -> u64 {
        0
    }
    fn write(&mut self, _: usize, offset: u64, _: u8, value: u64, _: &mut dyn Memory) {
        if offset == 0x20 {
            self.messages.push_back(value as u16); // TEST_IRQ
        }
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        if kind == self.kind { if kind == IrqKind::MsiX { 8 } else { 4 } } else { 0 }
    }
    fn take_message(&mut self) -> Option<u16> {
        self.messages.pop_front()
    }
}

/// Each vector comes once.
fn all_come(plugin: &Plugin, count: u32) {
    let wanted = if count == 1 { Enable::any() } else { Enable::msix(count..=count) };
    let interrupts = plugin.interrupts(wanted).unwrap_or_else(|error| panic!("{error}"));
    let client = pcie::Client(plugin);
    for vector in 0..count {
        client.send(vector).expect("it can be sent");
        until("it comes", || client.runs().expect("it counts")[vector as usize] == 1);
    }
    interrupts.disable().expect("it is enabled");
}

/// The bus driver has written the messages once, at START, and a reset clears them: they are written again, of each kind.
#[guest_test(stage = "loader")]
fn messages_come_after_a_reset_as_before(drivers: &str) {
    const WIDE: u16 = 1 << 7;
    const HAS_MASKS: u16 = 1 << 8;
    let msi = |control| Resettable::new(capability::MSI, IrqKind::Msi, control);
    for (model, messages) in [
        (Resettable::msix(), 4),
        (Resettable::msix(), 2),
        (msi(0), 1),
        (msi(WIDE), 1),
        (msi(HAS_MASKS), 1),
        (msi(WIDE | HAS_MASKS), 1),
    ] {
        let loaded = started("pcie", drivers, model, Shape::default(), Assigned::Messages(messages));
        let plugin = connect(&loaded.process, PATH, pcie::INTERFACE);
        for _ in 0..2 {
            all_come(&plugin, messages.into());
            pcie::Client(&plugin).reset(1).unwrap_or_else(|error| panic!("reset: {error}"));
        }
        all_come(&plugin, messages.into());
        drop(plugin);
        finish(loaded);
    }
}

/// Where the bus gives no interface for the table of MSI-X, nobody could write the messages again: nothing is reset, and they come as before.
#[guest_test(stage = "loader")]
fn no_reset_where_messages_could_not_be_written_again(drivers: &str) {
    let mut options = Options::default();
    options.absent = vec![MSIX_TABLE_INTERFACE.into()];
    for (assigned, due) in [
        (Assigned::Messages(4), Err(Status::WRONG_DEVICE.into())),
        (Assigned::Nothing, Ok(())), // nothing is lost
    ] {
        let machine = Machine::new(options.clone());
        let loaded = started_on(machine, "pcie", drivers, Resettable::msix(), Shape::default(), assigned);
        let plugin = connect(&loaded.process, PATH, pcie::INTERFACE);
        assert_eq!(pcie::Client(&plugin).reset(1), due);
        if assigned != Assigned::Nothing {
            all_come(&plugin, 4);
        }
        drop(plugin);
        finish(loaded);
    }
}
