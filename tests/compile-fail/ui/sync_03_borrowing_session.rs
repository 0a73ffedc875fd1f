//! A plugin borrows nothing: it outlives the caller.
use kp_core::*;

pub struct Plain(u32);

impl<'a> Init for &'a Plain {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Err(Status::BUSY.into())
    }
}
