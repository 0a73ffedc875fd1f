//! The end of a device's transfers, by its configuration space: alike on every kernel.
#![deny(unsafe_code)]
use super::{ConfigWidth, DeviceId, kernel};

/// Status register; bit 4: there is a list of capabilities.
const STATUS: u32 = 0x06;
const HAS_LIST: u32 = 1 << 4;
/// Where the list begins.
const FIRST: u32 = 0x34;
/// As many as fit behind the header.
const MOST: u32 = 48;
/// The capability of PCI Express, and its register Device Status in it; bit 5: transactions pending.
const EXPRESS: u32 = 0x10;
const DEVICE_STATUS: u32 = 0x0A;
const PENDING: u32 = 1 << 5;

/// How often Device Status is read, a millisecond apart.
const LOOKS: u32 = 100;

/// With bus mastering off: waits until what the device has begun is over, at most 100 ms. What it wrote to memory has arrived then: an answer to a
/// read does not overtake it. False: it is not over. A conventional PCI device does not say; it has no more than what was on the bus.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn end(device: DeviceId) -> bool {
    let express = express(device);
    for _ in 0..LOOKS {
        let at = express.map_or(STATUS, |at| at + DEVICE_STATUS);
        let status = kernel::config_read(device, at, ConfigWidth::Word);
        let is_gone = status == 0xFFFF;
        if is_gone || express.is_none() || status & PENDING == 0 {
            return true;
        }
        kernel::sleep_ns(1_000_000);
    }
    false
}

/// Where the capability of PCI Express is.
#[cfg_attr(kp_driver, optimize(size))]
fn express(device: DeviceId) -> Option<u32> {
    if kernel::config_read(device, STATUS, ConfigWidth::Word) & HAS_LIST == 0 {
        return None;
    }
    let mut at = kernel::config_read(device, FIRST, ConfigWidth::Byte) & !3;
    for _ in 0..MOST {
        if at < 0x40 {
            return None;
        }
        let head = kernel::config_read(device, at, ConfigWidth::Word);
        if head & 0xFF == EXPRESS {
            return Some(at);
        }
        at = head >> 8 & 0xFC;
    }
    None
}
