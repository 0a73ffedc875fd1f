//! A register of another map is not read here.
include!("part/registers.rs");

pub fn write(bar: &Bar<regs::Map>) {
    bar.write(other::VALUE, 1)
}
