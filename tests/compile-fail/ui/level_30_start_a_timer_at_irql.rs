//! An ISR starts no timer.
use kp_core::*;

pub fn isr(cx: &mut Irql, timer: &Timer) {
    timer.start(cx, 1000, None)
}
