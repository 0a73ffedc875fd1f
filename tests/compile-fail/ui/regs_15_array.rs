//! An array of registers is not read as one: which of them?
include!("part/arrays.rs");

pub fn read(bar: &Bar<regs::Map>) -> u32 {
    bar.read(regs::TABLE)
}
