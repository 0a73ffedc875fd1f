//! Registers are mapped at Passive.
include!("part/registers.rs");

pub fn handler(cx: &mut Irql, device: &mut Device) -> Result<Bar<regs::Map>> {
    device.map(cx, 0)
}
