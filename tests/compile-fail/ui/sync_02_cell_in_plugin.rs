//! What calls share is safe to share: the plugin.
use kp_core::*;

pub struct Counting(core::cell::RefCell<u32>);

impl Init for Counting {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Counting(0.into()))
    }
}
