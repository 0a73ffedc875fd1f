//! A bus address comes of memory that the device has, and of no number.
use kp_core::*;

pub fn any() -> BusAddress {
    BusAddress(0)
}
pub fn by_hand() -> Segment {
    Segment { at: BusAddress::new(0), len: 1 }
}
