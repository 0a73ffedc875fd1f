//! An ISR does not wake: it defers, and its DPC wakes.
use kp_core::*;

pub fn isr(cx: &mut Irql, queue: &WaitQueue) {
    queue.wake(cx)
}
