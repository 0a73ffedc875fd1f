//! A spin lock's ceiling is above Passive.
use kp_core::*;

pub fn call(cx: &mut Passive) {
    let _ = SpinLock::<u32, Passive>::new(cx, 0);
}
