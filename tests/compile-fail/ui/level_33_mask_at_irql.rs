//! A vector is masked up to Dispatch: the handler that is to go no further defers, and its DPC masks.
use kp_core::*;

pub fn isr(cx: &mut Irql, vectors: &Vectors) {
    let _ = vectors.mask(cx, 0);
}
