//! A level is not made from zero bytes: plugins forbid unsafe code.
use kp_core::*;

pub fn handler() {
    let mut cx: Passive = unsafe { core::mem::zeroed() };
    let _ = cx.sleep_ms(1);
}
