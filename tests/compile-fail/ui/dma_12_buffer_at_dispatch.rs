//! Only a call has a session, and so its buffers.
use kp_core::*;

pub fn dpc(cx: &mut Dispatch, buffer: kp_abi::Buffer) -> Result<Pages> {
    cx.buffer(buffer)
}
