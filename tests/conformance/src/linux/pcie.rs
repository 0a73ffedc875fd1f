//! Devices of PCI Express: what configuration space says, a reset by it, and vectors of MSI-X that are masked one by one. QEMU's e1000e has
//! most to say, rocker's vectors can be sent by hand, virtio-rng can be reset; each is behind a root port.
use super::{load, unload};
use crate::{
    Unload,
    pcie::{reset, vectors},
    registry::guest_test,
};
use kp_user::{OpenOptions, Plugin};
use pcie_interface::pcie;
use std::fs;

/// Vendor and device: a network card, a switch, and a source of random numbers.
const NET: (&str, &str) = ("0x8086", "0x10d3");
const SWITCH: (&str, &str) = ("0x1b36", "0x0006");
const RANDOM: (&str, &str) = ("0x1af4", "0x1044");

/// What devices say, resets that bring them back as they were, and masked vectors of which nothing is lost.
#[guest_test("pcie", stage = "nodes", short = "2", long = "50")]
fn configuration_space_describes_resets_and_masks(resets: u32) {
    take("kp_pcie", RANDOM);
    load("pcie");
    let (net, switch, random) = (open(NET), open(SWITCH), open(RANDOM));
    facts(&net, &random);
    vectors(&switch);
    let config = format!("/sys/bus/pci/devices/{}/config", address(RANDOM));
    let read = || fs::read(&config).expect("configuration space");
    let before = read();
    reset(&random, resets);
    let after = read();
    let differ: Vec<usize> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
    assert!(differ.is_empty(), "configuration space is another at {differ:x?}");
    drop((net, switch, random));
    assert_eq!(unload("pcie"), Unload::Gone);
    println!("configuration space described, {resets} resets, vectors masked");
}

/// Where a device is on the bus, and what it is opened by.
fn address((vendor, device): (&str, &str)) -> String {
    let entries = fs::read_dir("/sys/bus/pci/devices").expect("the guest has a PCI bus").flatten();
    let is = |entry: &fs::DirEntry| {
        let read = |what: &str| fs::read_to_string(entry.path().join(what)).unwrap_or_default();
        (read("vendor").trim(), read("device").trim()) == (vendor, device)
    };
    let found = entries.into_iter().find(is).unwrap_or_else(|| panic!("the guest has no device {vendor}:{device}"));
    found.file_name().to_string_lossy().into_owned()
}

/// Takes a device from the driver that the kernel has in it, for the module that is loaded next.
pub(super) fn take(module: &str, (vendor, device): (&str, &str)) {
    let address = address((vendor, device));
    let write = |what: &str, text: &str| {
        let path = format!("/sys/bus/pci/devices/{address}/{what}");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    };
    write("driver_override", module);
    if fs::exists(format!("/sys/bus/pci/devices/{address}/driver")).expect("it can be looked for") {
        write("driver/unbind", &address);
    }
}

fn open((vendor, device): (&str, &str)) -> Plugin {
    let options = OpenOptions::new().interface(pcie::INTERFACE);
    options.open_at(&address((vendor, device))).unwrap_or_else(|error| panic!("{error}"))
}

/// What Linux says of a device's link, in the generation and lanes.
fn link((vendor, device): (&str, &str)) -> [u8; 4] {
    let path = format!("/sys/bus/pci/devices/{}", address((vendor, device)));
    let read = |what: &str| fs::read_to_string(format!("{path}/{what}")).expect("it is on a link");
    let speed = |what| match read(what).trim() {
        "2.5 GT/s PCIe" => 1,
        "5.0 GT/s PCIe" => 2,
        "8.0 GT/s PCIe" => 3,
        "16.0 GT/s PCIe" => 4,
        other => panic!("{what}: {other}"),
    };
    let width = |what| read(what).trim().parse().expect("a number");
    [speed("current_link_speed"), width("current_link_width"), speed("max_link_speed"), width("max_link_width")]
}

fn facts(net: &Plugin, random: &Plugin) {
    let (net, random) = (pcie::Client(net).facts().expect("facts"), pcie::Client(random).facts().expect("facts"));
    println!("network card {net:?}, random {random:?}");
    // QEMU's, as `lspci -vv` shows them.
    assert_eq!((net.vectors, net.table, net.power), (5, 3, 0));
    assert_eq!(net.link, link(NET));
    assert_eq!(random.link, link(RANDOM));
    for facts in [net, random] {
        assert!(facts.capabilities >= 2 && facts.express >= 0x40, "{facts:?}");
    }
    assert_eq!((net.aer, net.extended), (0x100, 2), "error reporting, and a serial number");
}
