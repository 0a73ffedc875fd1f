//! A DPC cannot make an array grow.
use kp_core::*;

pub fn dpc(cx: &mut Dispatch, array: &mut KVec<u8>) {
    let _ = array.push(cx, 1);
}
