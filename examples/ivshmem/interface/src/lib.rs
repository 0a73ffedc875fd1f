//! What the ivshmem plugin and its apps say to each other.
#![no_std]
#![forbid(unsafe_code)]

/// Vectors that the plugin knows, and that its device is to have.
pub const VECTORS: usize = 4;

/// The vector whose interrupts the plugin handles without telling the app.
pub const SILENT: u32 = 3;

kp_abi::interface! {
    /// QEMU's ivshmem-doorbell: a device with several MSI-X vectors, each of which it can be told to raise.
    pub mod ivshmem, version 1 {
        /// The device's number among its peers.
        fn position() -> u32 = 1;
        /// Has the device raise `vector` of its own. BadValue: there is no such vector.
        fn ring(vector: u32) = 2;
        /// Interrupts of each vector that the handler has seen since the interrupt was enabled last.
        fn rung() -> [u32; crate::VECTORS] = 3;
    }
}
