//! What the interrupt callbacks share is safe to share.
use kp_core::*;

pub struct Counting;

impl Init for Counting {
    type Session = ();
    type Interrupt = core::cell::Cell<u32>;
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Counting)
    }
}
