//! A block's register is not one of another block.
include!("part/arrays.rs");

registers! {
    pub mod other[0x20] {
        0x04 STOP: u32, WO;
    }
}

pub fn stop(bar: &Bar<regs::Map>) -> Result<()> {
    Ok(bar.regs().block(regs::CHANNEL, 0)?.write(other::STOP, 1))
}
