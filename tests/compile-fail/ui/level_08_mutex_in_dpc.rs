//! A DPC cannot take a lock whose holder may sleep.
use kp_core::*;

pub fn dpc(cx: &mut Dispatch, lock: &Mutex<u32>) {
    lock.with(cx, |n, _| *n += 1)
}
