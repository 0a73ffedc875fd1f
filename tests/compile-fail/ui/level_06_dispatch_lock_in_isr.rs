//! A lock that the DPC holds cannot be taken by the interrupt handler: it would wait forever.
use kp_core::*;

pub fn handler(cx: &mut Irql, lock: &SpinLock<u32, Dispatch>) {
    lock.with(cx, |n, _| *n += 1)
}
