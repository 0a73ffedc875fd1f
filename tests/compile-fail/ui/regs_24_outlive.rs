//! Registers do not outlive the BAR that they are of.
include!("part/arrays.rs");

pub fn keep(cx: &mut Passive, mut device: Device) -> Result<Regs<'static, channel::Map>> {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    bar.regs().block(regs::CHANNEL, 0)
}
