//! A mapping has one owner.
include!("part/registers.rs");

pub fn duplicate(bar: &Bar<regs::Map>) -> Bar<regs::Map> {
    bar.clone()
}
