//! The null port is a whole kernel: a binary with it and a plugin links, and what needs memory is told that there is none.
use kp_core::{
    Device, Init, Passive, Result, Status,
    host::{BoundDevice, RawDevice, passive},
    plugin,
};
use null_port as _;

struct Plain;

impl Init for Plain {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Self)
    }
}

plugin! { Plain { name: "plain", devices: [], callbacks: [] } }

#[test]
fn a_plugin_on_a_kernel_without_memory_is_refused_with_no_memory() {
    // SAFETY: this test is the port, and nothing else is bound.
    let bind = |cx: &mut Passive| unsafe { BoundDevice::<Plain>::bind(cx, RawDevice::none()) };
    // SAFETY: a thread of a test may sleep, and no other level is on its stack.
    let bound = unsafe { passive(bind) };
    assert_eq!(bound.err(), Some(Status::NO_MEMORY.into()));
}
