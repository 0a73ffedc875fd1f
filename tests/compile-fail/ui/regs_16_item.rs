//! A register that is one has no items.
include!("part/arrays.rs");

pub fn item(bar: &Bar<regs::Map>) -> Result<u32> {
    Ok(bar.regs().item(regs::ID, 0)?.read())
}
