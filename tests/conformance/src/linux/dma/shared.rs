//! Memory that device and processor share: how much of it a kernel has in one piece.
use super::{machine, start};
use crate::{Unload, linux::unload, registry::guest_test};
use kp_abi::Status;
use loopback_interface::loopback;

/// More than any machine has to be asked for.
const MOST: u64 = 64 << 20;

/// Doubles what is asked for until it is refused, and says what was not.
#[guest_test("dma shared", stage = "dma")]
fn shared_memory_has_the_size_that_is_asked_for_or_is_refused() {
    let plugin = start("loopback", loopback::INTERFACE);
    let client = loopback::Client(&plugin);
    let sizes = std::iter::successors(Some(4096), |bytes| Some(bytes * 2)).take_while(|bytes| *bytes <= MOST);
    let largest = sizes.take_while(|bytes| match client.share(*bytes) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error, Status::NO_MEMORY, "{bytes} bytes");
            false
        }
    });
    let largest = largest.last().expect("a page can be had");
    // The pages of the kernel's allocator: of 2^10 pages at most.
    assert!(largest >= 1 << 20, "only {largest} bytes");
    println!("in one piece at most {} KiB, with an IOMMU: {}", largest >> 10, machine::has_iommu());
    drop(plugin);
    assert_eq!(unload("loopback"), Unload::Gone);
}
