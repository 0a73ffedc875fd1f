//! What a driver's answer says.
use crate::Notification;
use kp_abi::{
    Error, Result, Status,
    request::{self, Head},
};

/// What the head says.
pub(super) fn answer(head: &Head) -> Result<()> {
    if head.status == Status::OK.0 { Ok(()) } else { Err(Error::new(Status(head.status), head.detail)) }
}

/// What an INT_WAIT that was answered has taken.
pub(super) fn notification(wait: request::IntWait) -> Notification {
    Notification { vector: wait.got_vector, got: wait.got, available: wait.available, generation: wait.generation }
}
