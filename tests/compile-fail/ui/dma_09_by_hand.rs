//! Transfers are asked for once, of the device.
use kp_core::*;

pub fn second(dma: &Dma) -> Dma {
    Dma { limits: DmaLimits::bits(64), ..dma.clone() }
}
