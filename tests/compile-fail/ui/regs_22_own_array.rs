//! An array made by hand is checked too.
include!("part/arrays.rs");

#[derive(Clone, Copy)]
pub struct Mine;

impl Register for Mine {
    type Map = regs::Map;
    type Value = u32;
    const OFFSET: usize = 0;
}
impl Readable for Mine {}
impl Array for Mine {
    const COUNT: usize = 0x41;
}

pub fn read(bar: &Bar<regs::Map>) -> Result<u32> {
    Ok(bar.regs().item(Mine, 0x40)?.read())
}
