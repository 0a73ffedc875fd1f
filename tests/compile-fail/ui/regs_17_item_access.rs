//! The items of an array that is read-only are not written.
include!("part/arrays.rs");

pub fn write(bar: &Bar<regs::Map>) -> Result<()> {
    Ok(bar.regs().item(regs::TABLE, 0)?.write(1))
}
