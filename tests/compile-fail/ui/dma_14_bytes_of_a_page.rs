//! No reference to bytes that a device or an app may change.
use kp_core::*;

pub fn bytes(area: &Area) -> &[u8] {
    &area[..]
}
