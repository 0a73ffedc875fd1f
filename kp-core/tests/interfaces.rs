//! An app that was built for another plugin, or for another interface of this one, is told which.
mod test_plugin;

use kp_core::*;
use kp_sim::{Sim, edu::Edu};
use kp_user::{Cause, Mismatch};
use test_plugin::TestPlugin;

/// A plugin without an interface.
struct Raw;
impl Init for Raw {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Raw)
    }
}
impl Call for Raw {
    fn call(&self, _: &mut Passive, _: &(), _: Message<'_>, _: &mut Reply<'_>) -> Result<()> {
        Ok(())
    }
}
plugin! { Raw { name: "raw", callbacks: [Call] } }

kp_abi::interface! {
    mod others, version 1 {
        fn raise(bits: u32) = 1;
    }
}

/// As `test_plugin` has it, but for its third message.
mod changed {
    kp_abi::interface! {
        pub mod messages, version 2 {
            fn raise(bits: u32) = 1;
            fn seen() -> u32 = 2;
            fn keep(text: &[u8]) -> u64 = 3;
            fn kept() -> [u8] = 4;
        }
    }
}

fn mismatch<P: Plugin>(sim: &Sim<P>, interface: &kp_abi::Interface) -> Mismatch {
    let error = sim.connect(interface).expect_err("the interfaces do not fit");
    let Cause::Interface { mismatch, .. } = error.cause else { panic!("{error}") };
    mismatch
}

#[test]
fn an_interface_that_does_not_fit_is_told_where() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    assert_eq!(mismatch(&sim, others::INTERFACE), Mismatch::Name);
    assert_eq!(mismatch(&sim, changed::messages::INTERFACE), Mismatch::Message { number: 3, name: "keep" });
    assert_eq!(mismatch(&Sim::<Raw>::new().unwrap(), others::INTERFACE), Mismatch::NoInterface);
}
