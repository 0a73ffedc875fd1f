//! A device is used in `init`: its name ends with its removal, and a plugin outlives that.
use kp_core::*;

pub struct Keeps {
    device: Device,
}

impl Init for Keeps {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, device: Device) -> Result<Self> {
        Ok(Keeps { device })
    }
}
