//! A controller with a function level reset, on which three things are tried that free what it has, and after which its registers, its interrupt and its
//! configuration space have to be as the pages say.
use super::{connect, start};
use crate::{
    Unload,
    interrupts::until,
    linux::{pcie::take, unload},
    registry::guest_test,
};
use kp_abi::request::{ANY_VECTOR, kind};
use kp_user::Plugin;
use nvme_interface::{State, nvme};
use std::fs;

/// Enabled, entries of 64 and of 16 bytes; and ready.
const AT_WORK: State = State { configuration: 0x0046_0001, status: 1 };
/// After power-on.
const FRESH: State = State { configuration: 0, status: 0 };
/// Vendor and device.
const CONTROLLER: (&str, &str) = ("0x1b36", "0x0010");
/// In ns.
const SECONDS: u64 = 10_000_000_000;

/// Memory is dropped while the controller has it, which a reset by configuration space frees, one by the controller's register, and the end of its
/// transfers; and the last is there when the driver goes.
#[guest_test("nvme", stage = "dma", short = "2", long = "50")]
fn a_controller_that_is_reset_is_as_after_power_on_and_has_nothing(rounds: u32) {
    take("kp_nvme", CONTROLLER);
    let plugin = start("nvme", nvme::INTERFACE);
    let listener = connect("nvme", nvme::INTERFACE);
    let (app, client) = (listener.connection(), nvme::Client(&plugin));
    let enabled = app.int_enable(kind::ANY, 1, 2, &[]).expect("the plugin has its interrupt");
    assert_eq!((enabled.kind, enabled.count), (kind::MSIX, 2));
    answers(&plugin);
    for round in 0..rounds {
        lose(&plugin, 20);
        assert_eq!(client.state(), Ok(AT_WORK));
        let before = config(&plugin);
        client.reset().unwrap_or_else(|error| panic!("reset {round}: {error}"));
        assert_eq!(client.found(), Ok(FRESH), "its registers are as after power-on");
        assert_eq!(kept(&plugin), 0, "a controller that was reset has nothing");
        let after = config(&plugin);
        let differ: Vec<usize> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
        assert!(differ.is_empty(), "configuration space is another at {differ:x?}");
        transfers_and_sends(&after);
        answers(&plugin);

        lose(&plugin, 3);
        client.restart().expect("it can be reset by its register");
        assert_eq!(kept(&plugin), 0, "it was reset, as the plugin says");
        answers(&plugin);

        lose(&plugin, 3);
        client.halt().expect("its transfers end");
        assert_eq!(kept(&plugin), 0, "it has stopped");
        assert_eq!(client.state(), Ok(AT_WORK), "and was set up again with its interrupt");
        answers(&plugin);

        // An app that listens has heard, and does still.
        let heard = app.int_wait(SECONDS, ANY_VECTOR, u32::MAX).expect("it listens");
        assert_eq!(heard.generation, enabled.generation);
    }
    assert_eq!(plugin.query().map(|query| query.resets), Ok(0), "those that a plugin makes are not counted");
    lose(&plugin, 7);
    drop((plugin, listener));
    assert_eq!(unload("nvme"), Unload::Gone);
    println!("reset {rounds} times each way, with memory that the controller had");
}

/// It says who it is, and interrupts.
fn answers(plugin: &Plugin) {
    let received = || plugin.connection().int_count(ANY_VECTOR).expect("there are counters").1.received;
    let before = received();
    let identity = nvme::Client(plugin).identify().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((identity.vendor, identity.serial), (0x1b36, *b"kp                  "));
    until("it interrupts", || received() > before);
}

/// The controller has so many pages when they are dropped, and they are kept.
fn lose(plugin: &Plugin, pages: u32) {
    nvme::Client(plugin).lose(pages).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(kept(plugin), u64::from(pages) * 4096);
    answers(plugin);
    assert_eq!(kept(plugin), u64::from(pages) * 4096, "until it is reset");
}

fn kept(plugin: &Plugin) -> u64 {
    plugin.query().expect("QUERY works always").quarantined
}

/// The whole of configuration space, as the kernel reads it of the device.
fn config(plugin: &Plugin) -> Vec<u8> {
    let address = plugin.bus_address().expect("QUERY works always").expect("a device");
    let config = fs::read(format!("/sys/bus/pci/devices/{address}/config")).expect("configuration space");
    assert_eq!(config.len(), 4096);
    config
}

/// Bus mastering is on, and MSI-X: PCI Local Bus Specification 3.0, sections 6.2.2 and 6.8.2.3.
fn transfers_and_sends(config: &[u8]) {
    assert_ne!(config[0x04] & 1 << 2, 0, "bus mastering");
    let mut at = usize::from(config[0x34]);
    while config[at] != 0x11 {
        at = usize::from(config[at + 1]);
        assert_ne!(at, 0, "it has MSI-X");
    }
    assert_eq!(config[at + 3] >> 6, 0b10, "MSI-X is enabled, and not masked as a whole");
}
