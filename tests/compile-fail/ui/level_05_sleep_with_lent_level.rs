//! The level that a spin lock lends cannot sleep.
use kp_core::*;

pub fn call(cx: &mut Passive, lock: &SpinLock<u32, Dispatch>) {
    lock.with(cx, |n, cx| {
        *n += 1;
        let _ = cx.sleep_ms(1);
    })
}
