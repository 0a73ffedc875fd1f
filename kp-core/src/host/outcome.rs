//! How a request ends, and what the app and its transport are told.
#![deny(unsafe_code)]
use super::user_request::{Faulted, UserRequest};
use crate::{Error, Status};
use kp_abi::TransportStatus;

/// A request was served: what the transport answers. `Ok`: the status is in the header.
pub type RequestResult = Result<(), Status>;

/// What a direct call tells the app: `Ok`, the status, which stands in the [`Answer`](kp_abi::request::Answer) too unless it is Ok;
/// `Err`, the transport's own.
pub type DirectResult = Result<Status, Status>;

/// Why a request goes no further.
pub(super) enum RequestError {
    /// The header can carry it.
    Answer(Error),
    /// It cannot: the transport fails.
    Transport(Status),
}

impl From<Error> for RequestError {
    fn from(error: Error) -> Self {
        RequestError::Answer(error)
    }
}
impl From<Status> for RequestError {
    fn from(status: Status) -> Self {
        RequestError::Answer(status.into())
    }
}
impl From<TransportStatus> for RequestError {
    fn from(status: TransportStatus) -> Self {
        RequestError::Transport(status.status())
    }
}
impl From<Faulted> for RequestError {
    fn from(_: Faulted) -> Self {
        TransportStatus::FAULT.into()
    }
}

impl RequestError {
    /// Writes the answer of a request that goes no further. What the transport answers; `Ok`: with the status.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    pub(super) fn answer(self, user: &mut impl UserRequest) -> DirectResult {
        match self {
            RequestError::Answer(error) if error == Status::INTERRUPTED => Err(Status::INTERRUPTED),
            RequestError::Answer(error) => match user.answer(error.status.0, error.detail) {
                Ok(()) => Ok(error.status),
                Err(Faulted) => Err(TransportStatus::FAULT.status()),
            },
            RequestError::Transport(status) => Err(status),
        }
    }
}
