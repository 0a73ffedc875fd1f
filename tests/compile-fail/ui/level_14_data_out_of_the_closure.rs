//! A lock's data does not leave it.
use kp_core::*;

pub fn call(cx: &mut Passive, lock: &SpinLock<u32, Irql>) {
    let n = lock.with(cx, |n, _| n);
    *n += 1;
}
