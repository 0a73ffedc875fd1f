//! A lock lets one thread at a time to its data, and does not make it fit for another thread.
use kp_core::*;

pub struct Points {
    at: SpinLock<*mut u32, Irql>,
    kept: Mutex<core::cell::RefCell<*const ()>>,
}

impl Init for Points {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, _: Device) -> Result<Self> {
        Err(Status::BUSY.into())
    }
}
