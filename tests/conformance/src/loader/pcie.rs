//! Configuration space, resets by it, and vectors of MSI-X through the interface of the bus for its table.
use super::resources::{connect, finish, started};
use crate::{
    pcie::{model::Card, reset, vectors},
    registry::guest_test,
};
use pcie_interface::pcie;
use windows_loader::{Assigned, Shape};

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
