//! The trait says how long the session lives, and the plugin cannot say more.
use kp_core::*;

kp_abi::interface! {
    pub mod texts, version 1 {
        fn hear() -> [u8] = 1;
    }
}

pub struct Plain;

impl Init for Plain {
    type Session = [u8; 4];
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Plain)
    }
}

impl texts::Handler<Passive, [u8; 4]> for Plain {
    fn hear<'m>(&self, _: &mut Passive, session: &'m [u8; 4], out: &mut Out<'_, 'm, u8>) -> Result<()> {
        out.lend(session)
    }
}

plugin! { Plain { name: "plain", interface: texts, callbacks: [] } }
