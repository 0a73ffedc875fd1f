//! The plugin may be gone when the app gets its reply, in a raw message too.
use kp_core::*;

pub struct Named {
    name: [u8; 8],
}

impl Init for Named {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Named { name: *b"somebody" })
    }
}

impl Call for Named {
    fn call<'m>(&self, _: &mut Passive, _: &(), _: Message<'m>, reply: &mut Reply<'m>) -> Result<()> {
        reply.lend(&self.name)
    }
}

plugin! { Named { name: "named", callbacks: [Call] } }
