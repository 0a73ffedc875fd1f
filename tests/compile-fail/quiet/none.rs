//! A plugin with no callback but `init`.
#![no_std]
use kp_core::{Device, Init, Passive, Result, plugin};

mod inner {
    kp_abi::interface! {
        /// No message.
        pub mod empty, version 1 {}
    }
}

/// The plugin.
#[derive(Debug)]
pub struct None;

impl Init for None {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(None)
    }
}
impl inner::empty::Handler<Passive> for None {}
plugin! { None { name: "none", interface: inner::empty, callbacks: [] } }
