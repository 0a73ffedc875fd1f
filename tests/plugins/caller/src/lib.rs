//! A plugin that says who has opened it, and needs no device: where there is none to be had, it is asked.
#![no_std]
#![forbid(unsafe_code)]

use kp_core::*;
use trouble_interface::Who;
pub use trouble_interface::caller;

/// The plugin.
pub struct Asked;

impl Init for Asked {
    type Session = Who;
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Asked)
    }
}

impl Open for Asked {
    fn open(&self, _: &mut Passive, caller: &Caller, _: &[u8]) -> Result<Who> {
        Ok(Who { process: caller.process, admin: caller.admin.into(), is_32bit: caller.is_32bit.into() })
    }
}

impl caller::Handler<Passive, Who> for Asked {
    fn who(&self, _: &mut Passive, who: &Who) -> Result<Who> {
        Ok(*who)
    }
}

plugin! { Asked { name: "caller", interface: caller, callbacks: [Open] } }
