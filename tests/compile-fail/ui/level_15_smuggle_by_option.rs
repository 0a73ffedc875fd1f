//! A raised level cannot be carried out through a variable.
use kp_core::*;

pub fn call(cx: &mut Passive, lock: &SpinLock<u32, Irql>) {
    let mut kept = None;
    lock.with(cx, |_, cx| kept = Some(cx));
}
