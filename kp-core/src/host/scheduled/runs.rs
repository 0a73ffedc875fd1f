//! When timers and work items may run, and who runs.
#![deny(unsafe_code)]
use crate::{
    Passive, Result,
    host::{
        Deadline,
        gate::{Gate, Pass},
        kernel,
        session_context::SessionContext,
    },
};
use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering::*},
};

/// What the timers and work items of one device share.
pub(crate) struct Runs {
    /// Entered by each run.
    gate: Gate,
    /// What work has by its level: what ends its sleeps. It has no app, and so no buffers.
    pub(crate) context: SessionContext,
    /// The device's record, while somebody may be inside the gate.
    device: AtomicPtr<()>,
}

impl Runs {
    /// Nothing may run yet.
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self {
            gate: Gate::new(),
            context: SessionContext::new(cx, false)?,
            device: AtomicPtr::new(ptr::null_mut()),
        })
    }

    /// A run begins, and lasts as long as the answer. None: not now. Whoever holds it back says so under the item's lock, for
    /// [`resume`](Self::resume). Passive and Dispatch.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn begin(&self) -> Option<Pass<'_>> {
        if kernel::poisoned() { None } else { self.gate.enter(&self.context.waker.queue).ok() }
    }

    /// The device's record, inside the gate.
    pub(crate) fn device(&self) -> *const () {
        self.device.load(Relaxed)
    }

    /// From now on they run: the plugin's value is in the record.
    pub(crate) fn open(&self, device: *const ()) {
        self.device.store(device.cast_mut(), Relaxed);
        self.gate.open();
    }

    /// None begins from now on; waits for those that run, until then. False: somebody runs still.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn pause(&self, until: Deadline) -> bool {
        self.gate.pause();
        self.gate.drain(&self.context.waker.queue, until)
    }

    /// The pause is over. What was held back is to be looked at after this.
    pub(crate) fn resume(&self) {
        self.context.waker.resume();
        self.gate.resume();
    }

    /// None begins any more; the sleeps of those that run end, and they are waited for. False: plugin code has panicked in one, or while
    /// one runs that does not end.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn end(&self, cx: &mut Passive) -> bool {
        self.gate.shut();
        self.context.waker.cancel_for_close(cx);
        self.gate.drain(&self.context.waker.queue, Deadline::NEVER)
    }
}
