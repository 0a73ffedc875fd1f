//! Of two maps one may be a subtype of the other, and longer: a BAR that was mapped for the shorter one is not read by the longer.
use core::marker::PhantomData;
use kp_core::*;

pub struct Map<T>(PhantomData<T>);
type Short = fn(&'static u8);
type Long = for<'a> fn(&'a u8);
impl RegisterMap for Map<Short> {
    const LEN: usize = 4;
}
impl RegisterMap for Map<Long> {
    const LEN: usize = 1 << 20;
}
#[derive(Clone, Copy)]
pub struct Far;
impl Register for Far {
    type Map = Map<Long>;
    type Value = u32;
    const OFFSET: usize = (1 << 20) - 4;
}
impl Single for Far {}
impl Readable for Far {}

pub fn far(cx: &mut Passive, mut device: Device) -> Result<u32> {
    let short: Bar<Map<Short>> = device.map(cx, 0)?;
    let long: Bar<Map<Long>> = short;
    Ok(long.read(Far))
}
