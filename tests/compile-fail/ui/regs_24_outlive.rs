//! Registers do not outlive the BAR that they are of.
include!("part/arrays.rs");

pub fn keep(cx: &mut Passive, mut device: Device) -> Result<Regs<'static, channel::Map>> {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    Ok(bar.regs().block(regs::CHANNEL, 0).ok_or(Status::WRONG_DEVICE)?)
}
