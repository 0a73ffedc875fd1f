//! Limits that no device has are refused when they are compiled.
use kp_core::*;

pub const FEW_BITS: DmaLimits = DmaLimits::bits(16);
pub const SHORT: DmaLimits = DmaLimits::bits(32).segment(100);
pub const ODD: DmaLimits = DmaLimits::bits(32).boundary(5000);
