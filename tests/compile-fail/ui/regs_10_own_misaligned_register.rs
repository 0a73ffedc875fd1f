//! A register made by hand is aligned too.
include!("part/registers.rs");

#[derive(Clone, Copy)]
pub struct Mine;

impl Register for Mine {
    type Map = regs::Map;
    type Value = u32;
    const OFFSET: usize = 0x02;
}
impl Single for Mine {}
impl Readable for Mine {}

pub fn read(bar: &Bar<regs::Map>) -> u32 {
    bar.read(Mine)
}
