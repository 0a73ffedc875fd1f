//! A level belongs to its thread.
use kp_core::*;

pub fn call(cx: &mut Passive) {
    std::thread::scope(|scope| {
        scope.spawn(|| cx.sleep_ms(1));
    })
}
