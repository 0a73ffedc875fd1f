//! A write-only register is not read.
include!("part/registers.rs");

pub fn read(bar: &Bar<regs::Map>) -> u32 {
    bar.read(regs::ACK)
}
