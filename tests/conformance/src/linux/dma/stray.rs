//! A device that goes where nothing is mapped for it.
use super::{machine, start};
use crate::registry::guest_test;
use loopback_interface::loopback;

/// The IOMMU stops it, and the kernel says so.
#[guest_test("planted stray", stage = "planted")]
fn a_device_reads_where_nothing_is_mapped_for_it() {
    assert!(machine::has_iommu(), "nothing would stop it");
    let plugin = start("loopback", loopback::INTERFACE);
    loopback::Client(&plugin).stray(0x1234_5000).unwrap_or_else(|error| panic!("{error}"));
    std::thread::sleep(std::time::Duration::from_secs(2));
}
