//! A DPC waits for nothing.
use kp_core::*;

pub fn dpc(cx: &mut Dispatch, queue: &WaitQueue) -> Result<()> {
    queue.wait_until(cx, 10, |_| true)
}
