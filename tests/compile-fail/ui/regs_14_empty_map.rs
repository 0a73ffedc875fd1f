//! Registers of no bytes are not mapped.
use kp_core::*;

pub struct Nothing;
impl RegisterMap for Nothing {
    const LEN: usize = 0;
}

pub fn map(cx: &mut Passive, mut device: Device) -> Result<Bar<Nothing>> {
    device.map(cx, 0)
}
