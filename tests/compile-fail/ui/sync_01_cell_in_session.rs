//! What calls share is safe to share: a session.
use kp_core::*;

pub struct Counting;

impl Init for Counting {
    type Session = core::cell::Cell<u32>;
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Counting)
    }
}
