//! The next part of a transfer is mapped at Passive.
use kp_core::*;

pub fn dpc(cx: &mut Dispatch, transfer: &mut Transfer<ToDevice>) -> bool {
    transfer.next(cx).is_ok()
}
