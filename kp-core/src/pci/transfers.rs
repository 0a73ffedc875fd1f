//! The end of a device's own transfers. PCI Express Base Specification 5.0, section 7.5.3.5.
use super::{
    capability,
    registers::{Registers, STATUS},
};
use crate::host::{DeviceId, kernel};

/// Device Status, 16 bits, in the capability PCI Express.
const DEVICE_STATUS: u16 = 0x0A;
/// Bit of it: requests of the device's own have no answer yet. As all ones it is set too, where nothing answers.
const TRANSACTIONS_PENDING: u16 = 1 << 5;
/// What a register reads as where nothing answers.
const NO_ANSWER: u16 = 0xFFFF;

/// With bus mastering off: waits until what the device has begun is over, at most `ms` milliseconds. What it wrote to memory has arrived then: an
/// answer to a read does not overtake it. False: it is not over. A conventional PCI device does not say; it has no more than what was on the bus.
#[cfg_attr(kp_driver, optimize(size))]
pub(crate) fn end_transfers(device: DeviceId, ms: u32) -> bool {
    let registers = Registers(device);
    let Some(express) = registers.capability(capability::PCI_EXPRESS) else {
        registers.read16(STATUS);
        return true;
    };
    let is_over = || {
        let status = registers.read16(express.saturating_add(DEVICE_STATUS));
        status == NO_ANSWER || status & TRANSACTIONS_PENDING == 0
    };
    for _ in 0..ms {
        if is_over() {
            return true;
        }
        kernel::sleep_ns(1_000_000);
    }
    is_over()
}
