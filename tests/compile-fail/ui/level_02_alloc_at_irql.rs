//! An interrupt handler cannot allocate.
use kp_core::*;

pub fn handler(cx: &mut Irql) {
    let _ = KBox::new(cx, 1u8);
}
