//! A level cannot be written down.
use kp_core::*;

pub fn call(lock: &SpinLock<u32, Irql>) {
    let mut cx = Irql { _not_send: core::marker::PhantomData };
    lock.with(&mut cx, |n, _| *n += 1)
}
