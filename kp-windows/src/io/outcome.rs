//! How far a request is when its dispatch function returns.
use crate::{
    io::irp::{DeviceControl, Irp},
    nt::{NtStatus, STATUS_PENDING, STATUS_SUCCESS, ntstatus},
};
use kp_abi::Status;

pub(crate) enum Outcome {
    /// It is over: this much of the out-buffer is the reply, or there is none, and why.
    Done(Irp<DeviceControl>, Result<usize, Status>),
    /// It is answered later.
    Pending,
}

impl Outcome {
    /// Answers it, if it is over. What the dispatch function answers. Up to DISPATCH_LEVEL.
    pub(crate) fn complete(self) -> NtStatus {
        match self {
            Self::Done(irp, Ok(written)) => irp.complete(STATUS_SUCCESS, written),
            Self::Done(irp, Err(status)) => irp.complete(ntstatus(status), 0),
            Self::Pending => STATUS_PENDING,
        }
    }
}
