//! A BAR is mapped by the device only.
include!("part/registers.rs");

pub fn forge() -> Bar<regs::Map> {
    Bar { base: 0x1000, _map: core::marker::PhantomData }
}
