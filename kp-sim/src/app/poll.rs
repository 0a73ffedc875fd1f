//! What poll(2) does, for a thread that waits in the kernel.
use super::App;
use crate::{context, loaded::in_kernel, port::queue_number, process::Process};
use kp_core::{Plugin, host::Readiness};

impl<P: Plugin> App<P> {
    /// Waits until something has happened in the session since `seen`, or this thread is killed: what poll(2) then says, and what to come back
    /// with. With `None` it does not wait.
    pub(crate) fn poll_in(&self, thread: &Process, seen: Option<u32>) -> (Readiness, u32) {
        let session = self.file.session();
        in_kernel(&self.file.loaded.machine, Some(thread), |cx| {
            let context = context::current();
            // Counted before it is looked at: nothing is missed.
            let wakes = context.machine.wait_wakes(&context, queue_number(session.wait_queue()), seen);
            (session.readiness(cx), wakes)
        })
    }
}
