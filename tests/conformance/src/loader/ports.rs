//! Ports, and a window of memory.
use super::resources::{connect, finish, started};
use crate::{
    registry::guest_test,
    testdev::{model::TestDevice, story},
};
use windows_loader::{Assigned, Shape};

/// A device counts what is written to a port, and to an offset in its memory that it says itself.
#[guest_test(stage = "loader")]
fn a_device_is_reached_by_ports_and_at_offsets_that_it_says(drivers: &str) {
    let loaded = started("testdev", drivers, TestDevice::default(), Shape::default(), Assigned::Line);
    story(&connect(&loaded.process, r"\\.\kp-testdev.0", testdev_interface::testdev::INTERFACE));
    finish(loaded);
}
