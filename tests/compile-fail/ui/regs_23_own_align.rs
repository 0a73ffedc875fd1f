//! A map made by hand whose blocks may lie anywhere has no wide registers.
include!("part/arrays.rs");

pub struct Odd;
impl RegisterMap for Odd {
    const LEN: usize = 8;
    const ALIGN: usize = 1;
}
#[derive(Clone, Copy)]
pub struct Wide;
impl Register for Wide {
    type Map = Odd;
    type Value = u64;
    const OFFSET: usize = 0;
}
impl Single for Wide {}
impl Readable for Wide {}
#[derive(Clone, Copy)]
pub struct Second;
impl Blocks for Second {
    type Map = regs::Map;
    type Block = Odd;
    const OFFSET: usize = 1;
    const STRIDE: usize = 8;
    const COUNT: usize = 2;
}

pub fn read(bar: &Bar<regs::Map>) -> Result<u64> {
    Ok(bar.regs().block(Second, 1)?.read(Wide))
}
