//! Ports, where the processor has them.
use super::contract;

contract! { ($)
    /// Access to the ports of a device: one access of the processor each, in program order with the others. `port` is the first of as many
    /// ports as are accessed, inside of a [`RawBar`](super::RawBar) of ports. A kernel whose processor has none gives no such BARs.
    unsafe trait PortIo, exported by __export_port_io;

    /// One read of 8 bits. Any level.
    unsafe fn port_read8(port: usize) -> u8;
    /// One read of 16 bits. Any level.
    unsafe fn port_read16(port: usize) -> u16;
    /// One read of 32 bits. Any level.
    unsafe fn port_read32(port: usize) -> u32;
    /// One write of 8 bits. Any level.
    unsafe fn port_write8(port: usize, value: u8) -> ();
    /// One write of 16 bits. Any level.
    unsafe fn port_write16(port: usize, value: u16) -> ();
    /// One write of 32 bits. Any level.
    unsafe fn port_write32(port: usize, value: u32) -> ();
}
