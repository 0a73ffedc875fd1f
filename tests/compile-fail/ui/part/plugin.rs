// A plugin without state. Included by cases whose point is something else.
use kp_core::*;

pub struct Plain;

impl Init for Plain {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Plain)
    }
}
