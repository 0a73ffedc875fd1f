//! How memory is cut, and where the kernel's begins.

/// A page, in bytes: the unit of mapping, and of faults.
pub const PAGE: usize = 4096;
/// Addresses from here on are the kernel's.
pub const KERNEL_AT: u64 = 1 << 47;
