//! Where a vector goes is said at Passive, and so is a reset, which sleeps.
use kp_core::*;

pub fn dpc(cx: &mut Dispatch, vectors: &Vectors, config: &Config) {
    let _ = vectors.hint(cx, 0, 1);
    let _ = config.reset(cx);
}
