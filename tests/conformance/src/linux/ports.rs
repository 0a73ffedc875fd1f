//! Ports, and a window of memory.
use super::{load, unload};
use crate::{Unload, registry::guest_test, testdev::story};
use kp_user::Plugin;
use testdev_interface::testdev;

/// A device counts what is written to a port, and to an offset in its memory that it says itself.
#[guest_test("ports", stage = "nodes")]
fn a_device_is_reached_by_ports_and_at_offsets_that_it_says() {
    load("testdev");
    let plugin = Plugin::open_interface("testdev", testdev::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
    story(&plugin);
    drop(plugin);
    assert_eq!(unload("testdev"), Unload::Gone);
    println!("ports, and a window of memory");
}
