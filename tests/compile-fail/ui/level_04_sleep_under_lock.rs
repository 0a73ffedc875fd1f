//! The level outside a spin lock is out of reach while the lock is held.
use kp_core::*;

pub fn call(cx: &mut Passive, lock: &SpinLock<u32, Dispatch>) {
    lock.with(cx, |n, _| {
        *n += 1;
        let _ = cx.sleep_ms(1);
    })
}
