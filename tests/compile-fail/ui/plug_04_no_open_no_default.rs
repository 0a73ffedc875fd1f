//! A session that `Open` does not make has a default.
use kp_core::*;

pub struct Counting;
pub struct Count(u32);

impl Init for Counting {
    type Session = Count;
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Counting)
    }
}

plugin! { Counting { name: "counting", callbacks: [] } }
