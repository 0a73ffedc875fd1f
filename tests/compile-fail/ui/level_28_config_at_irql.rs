//! Configuration space is reached at Passive: the kernel takes a lock for it.
use kp_core::*;

pub fn isr(cx: &mut Irql, config: &Config) {
    let _ = config.read32(cx, 0);
}
