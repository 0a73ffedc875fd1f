//! A read-only register is not written.
include!("part/registers.rs");

pub fn write(bar: &Bar<regs::Map>) {
    bar.write(regs::ID, 1)
}
