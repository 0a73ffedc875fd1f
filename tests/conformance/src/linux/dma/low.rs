//! Memory that a device of few bits shares.
use super::start;
use crate::{Unload, linux::unload, registry::guest_test};
use edu28_interface::edu28;

/// QEMU's edu as it comes has 28 bits, and masks what it does not have: a page above would be another one. The machine has far more memory.
#[guest_test("dma low", stage = "dma-low")]
fn memory_for_a_device_of_28_bits_is_below_them() {
    let plugin = start("edu28", edu28::INTERFACE);
    let client = edu28::Client(&plugin);
    let highest = client.highest(256).unwrap_or_else(|error| panic!("{error}"));
    assert!(highest < 1 << 28, "{highest:#x}");
    let value = 0x0123_4567_89ab_cdef;
    assert_eq!(client.go_round(value), Ok(value));
    println!("256 pages, the highest byte at {highest:#x}");
    drop(plugin);
    assert_eq!(unload("edu28"), Unload::Gone);
}
