//! Requests, from the app's bytes to the app's bytes: which one it is, and its answer. One code for every kernel; a port brings the
//! [`UserRequest`].
//!
//! - `layout`: the size rule; a request's struct, copied and checked.
//! - `call`: CALL, in either form: its lengths, its buffers, the handler, the reply.
//! - `open`: QUERY and OPEN: what app and driver agree on.
//! - `interrupts`: INT_ENABLE, INT_DISABLE, INT_COUNT. INT_WAIT is in `wait`, the ring's requests are in `ring`.
#![deny(unsafe_code)]
mod call;
mod interrupts;
mod layout;
mod open;

use super::{
    direct::DirectResult,
    kernel,
    session::Session,
    user_request::{Faulted, UserRequest},
};
use crate::{Error, Passive, Plugin, Status};
use kp_abi::{
    TransportStatus,
    request::{self, Head, Request, state},
    zerocopy::IntoBytes,
};
use layout::{LONGEST, RequestLayout, STATUS_AT, Space, read_request};
pub(super) use {
    call::{Args, DataRanges},
    layout::read_struct,
};

/// A request was served: what the transport answers. `Ok`: the status is in the header.
pub type RequestResult = Result<(), Status>;

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
impl From<Faulted> for RequestError {
    fn from(_: Faulted) -> Self {
        RequestError::Transport(TransportStatus::FAULT.status())
    }
}

/// What poll(2) and its like report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// A wait would return with a notification.
    pub notification: bool,
    /// The session is closed or its device gone.
    pub over: bool,
}

impl<P: Plugin> Session<P> {
    /// Serves request `nr`. `Err`: the transport's own answer; everything else is in the request's head. In the caller's
    /// context.
    #[inline]
    pub fn request(&self, cx: &mut Passive, nr: u32, user: &mut impl UserRequest) -> RequestResult {
        cx.in_session(self.cancellation(), |cx| match nr {
            request::Call::NR => self.serve_call(cx, user).map(|_| ()),
            request::IntWait::NR => self.serve_wait(cx, user),
            _ => self.serve_other(cx, nr, user),
        })
    }

    /// All but CALL and INT_WAIT. One code takes and answers them, whatever their structs: they are rare, and there are many.
    #[inline(never)]
    #[cfg_attr(kp_driver, optimize(size))]
    fn serve_other(&self, cx: &mut Passive, nr: u32, user: &mut impl UserRequest) -> RequestResult {
        let Some(layout) = RequestLayout::of_number(nr) else { return Err(TransportStatus::UNKNOWN_REQUEST.status()) };
        let mut space = Space([0; LONGEST]);
        if let Err(over) = read_request(user, layout, 0, space.0.as_mut_bytes()) {
            return over;
        }
        let error = match self.answer(cx, nr, &mut space, user) {
            Ok(()) => Status::OK.into(),
            Err(RequestError::Answer(error)) => error,
            Err(RequestError::Transport(status)) => return Err(status),
        };
        let Ok(head) = space.view::<Head>() else { return Err(TransportStatus::FAULT.status()) };
        (head.status, head.detail) = (error.status.0, error.detail);
        let known = layout.size.min(head.size as usize);
        let answer = space.0.as_bytes().get(STATUS_AT..known).unwrap_or(&[]);
        user.write(STATUS_AT, answer).map_err(|Faulted| {
            if error.status == Status::OK {
                self.undo(cx, nr);
            }
            TransportStatus::FAULT.status()
        })
    }

    /// A request was carried out, and its answer cannot be written: the app's memory has gone since it was taken. What the app now does not
    /// know that it has is given back. A session ends with that, and its handle.
    #[cold]
    #[inline(never)]
    #[cfg_attr(kp_driver, optimize(size))]
    fn undo(&self, cx: &mut Passive, nr: u32) {
        let _ = match nr {
            request::Open::NR => self.close(cx).map_err(RequestError::from),
            request::IntEnable::NR => self.disable_interrupt(cx).map(|_| ()),
            request::RingSetup::NR => self.request_ring_teardown(),
            _ => Ok(()),
        };
    }

    /// Fills in the answer of a request whose struct is in `space`.
    #[inline(always)]
    fn answer(
        &self,
        cx: &mut Passive,
        nr: u32,
        space: &mut Space,
        user: &mut impl UserRequest,
    ) -> Result<(), RequestError> {
        match nr {
            request::Query::NR => self.query(space.view()?, user),
            request::Open::NR => self.request_open(cx, space.view()?, user),
            request::Close::NR => Ok(self.close(cx)?),
            request::IntEnable::NR => self.request_enable(cx, space.view()?, user),
            request::IntCount::NR => self.request_count(cx, space.view()?),
            request::IntDisable::NR => self.request_disable(cx, space.view()?),
            request::RingSetup::NR => self.request_ring_setup(cx, space.view()?),
            request::RingEnter::NR => self.request_ring_enter(cx, space.view()?),
            _ => self.request_ring_teardown(),
        }
    }

    /// What poll(2) says.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn readiness(&self, cx: &mut Passive) -> Readiness {
        Readiness {
            notification: self.device.interrupts().is_some_and(|interrupts| interrupts.has_pending(cx, self)),
            over: kernel::poisoned() || self.device.state() == state::GONE || self.is_closed(),
        }
    }
}

/// Writes the answer of a request that goes no further. What the transport answers; `Ok`: with the status.
#[cold]
#[cfg_attr(kp_driver, optimize(size))]
#[inline(never)]
pub(super) fn refuse(user: &mut impl UserRequest, error: RequestError) -> DirectResult {
    match error {
        RequestError::Answer(error) if error == Status::INTERRUPTED => Err(Status::INTERRUPTED),
        RequestError::Answer(error) => match user.answer(error.status.0, error.detail) {
            Ok(()) => Ok(error.status),
            Err(Faulted) => Err(TransportStatus::FAULT.status()),
        },
        RequestError::Transport(status) => Err(status),
    }
}
