//! Memory-mapped registers.
use super::contract;

contract! { ($)
    /// Access to mapped registers: one aligned access of the processor each, in program order with the others, and with memory that a device
    /// shares: a register's write comes after what was written there before, and what is read there after a register's read is no older than
    /// that. An address is one inside of an [`IoMapping`](super::IoMapping).
    unsafe trait Mmio, exported by __export_mmio;

    /// One aligned read of a mapped register. Any level.
    unsafe fn mmio_read8(address: usize) -> u8;
    /// One aligned read of a mapped register. Any level.
    unsafe fn mmio_read16(address: usize) -> u16;
    /// One aligned read of a mapped register. Any level.
    unsafe fn mmio_read32(address: usize) -> u32;
    /// One aligned read of a mapped register. Any level.
    unsafe fn mmio_read64(address: usize) -> u64;
    /// One aligned write to a mapped register. Any level.
    unsafe fn mmio_write8(address: usize, value: u8) -> ();
    /// One aligned write to a mapped register. Any level.
    unsafe fn mmio_write16(address: usize, value: u16) -> ();
    /// One aligned write to a mapped register. Any level.
    unsafe fn mmio_write32(address: usize, value: u32) -> ();
    /// One aligned write to a mapped register. Any level.
    unsafe fn mmio_write64(address: usize, value: u64) -> ();
}
