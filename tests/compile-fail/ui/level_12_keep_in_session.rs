//! A session cannot keep a level for later.
use kp_core::*;

pub struct Keeper;
pub struct Kept(Option<&'static mut Passive>);

impl Init for Keeper {
    type Session = Kept;
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Keeper)
    }
}
impl Open for Keeper {
    fn open(&self, cx: &mut Passive, _: &Caller, _: &[u8]) -> Result<Kept> {
        Ok(Kept(Some(cx)))
    }
}
