//! A plugin with as little as can be.
#![no_std]
use kp_core::{Call, Device, Init, Message, Passive, Reply, Result, plugin};

/// The plugin.
#[derive(Debug)]
pub struct Least;

impl Init for Least {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Self)
    }
}
impl Call for Least {
    fn call<'m>(&self, _: &mut Passive, (): &(), message: Message<'m>, reply: &mut Reply<'m>) -> Result<()> {
        reply.bytes(message.data)
    }
}
plugin! { Least { name: "least", callbacks: [Call] } }
