//! A level cannot be copied.
use kp_core::*;

pub fn call(cx: &mut Passive) {
    let mut copy = cx.clone();
    let _ = copy.sleep_ms(1);
}
