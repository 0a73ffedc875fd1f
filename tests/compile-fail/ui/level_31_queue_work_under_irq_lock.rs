//! Nor is work queued with an interrupt's lock held.
use kp_core::*;

pub fn call(cx: &mut Passive, lock: &SpinLock<u32, Irql>, item: &WorkItem) {
    lock.with(cx, |_, cx| item.queue(cx))
}
