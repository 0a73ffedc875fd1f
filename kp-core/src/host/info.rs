//! What a driver's file says of its plugin, for the tool that has built it.
use crate::Plugin;

/// The layout's version.
const VERSION: u32 = 1;

/// Length of [`info`].
pub const fn info_len<P: Plugin>() -> usize {
    4 + 32 + 4 + 4 * P::TABLE.devices.len()
}

/// What a port puts into its driver's section `.kp_info`: version, name in 32 bytes, number of devices, and vendor and device of
/// each; little-endian.
pub const fn info<P: Plugin, const N: usize>() -> [u8; N] {
    let mut info = [0; N];
    let mut at = put(&mut info, 0, &VERSION.to_le_bytes());
    put(&mut info, at, P::TABLE.name.as_bytes());
    at += 32;
    at = put(&mut info, at, &(P::TABLE.devices.len() as u32).to_le_bytes());
    let mut i = 0;
    while i < P::TABLE.devices.len() {
        let (vendor, device) = P::TABLE.devices[i];
        at = put(&mut info, at, &vendor.to_le_bytes());
        at = put(&mut info, at, &device.to_le_bytes());
        i += 1;
    }
    info
}

const fn put(info: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let mut i = 0;
    while i < bytes.len() {
        info[at + i] = bytes[i];
        i += 1;
    }
    at + bytes.len()
}
