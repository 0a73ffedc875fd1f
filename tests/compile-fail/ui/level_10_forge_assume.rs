//! A level's constructor is out of reach.
use kp_core::*;

pub fn handler() {
    let mut cx = Passive::assume();
    let _ = cx.sleep_ms(1);
}
