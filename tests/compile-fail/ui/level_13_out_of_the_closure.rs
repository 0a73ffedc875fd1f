//! A raised level does not outlive its lock.
use kp_core::*;

pub fn call(cx: &mut Passive, lock: &SpinLock<u32, Irql>) {
    let raised = lock.with(cx, |_, cx| cx);
    lock.with(raised, |_, _| ())
}
