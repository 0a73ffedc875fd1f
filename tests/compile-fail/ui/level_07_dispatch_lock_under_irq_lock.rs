//! A lock is not taken under one with a higher ceiling.
use kp_core::*;

pub fn call(cx: &mut Passive, outer: &SpinLock<u32, Irql>, inner: &SpinLock<u32, Dispatch>) {
    outer.with(cx, |_, cx| inner.with(cx, |n, _| *n += 1))
}
