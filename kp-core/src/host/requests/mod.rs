//! Requests, from the app's bytes to the app's bytes: which one it is, and its answer. One code for every kernel; a port brings the
//! [`UserRequest`].
//!
//! - `layout`: the size rule; a request's struct, copied and checked.
//! - `call`: CALL: its lengths, its buffers, the handler, the reply.
//! - `open`: QUERY and OPEN: what app and driver agree on.
//! - `interrupts`: INT_ENABLE, INT_DISABLE, INT_COUNT. INT_WAIT is in `wait`, the ring's requests are in `ring`.
#![deny(unsafe_code)]
mod call;
mod interrupts;
mod layout;
mod open;

use super::{
    kernel,
    lifecycle::close,
    outcome::{RequestError, RequestResult},
    ring,
    session::{Session, SessionState},
    user_request::{Faulted, UserRequest},
    wait,
};
use crate::{Passive, Plugin, Status};
use kp_abi::{
    TransportStatus,
    request::{self, Head, Request},
    zerocopy::IntoBytes,
};
use layout::{LONGEST, RequestLayout, STATUS_AT, Space, read_request};
pub(super) use {
    call::{Args, DataRanges, exchange},
    layout::read_struct,
};

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
        cx.in_session(&self.waker, |cx| match nr {
            request::Call::NR => call::serve(self, cx, user).map(|_| ()),
            request::IntWait::NR => wait::serve(self, cx, user),
            _ => serve_other(self, cx, nr, user),
        })
    }

    /// What poll(2) says.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn readiness(&self, cx: &mut Passive) -> Readiness {
        let closed = matches!(self.state(), SessionState::Closing | SessionState::Closed);
        Readiness {
            notification: self.device.interrupts().is_some_and(|interrupts| interrupts.has_pending(cx, &self.waker)),
            over: kernel::poisoned() || self.device.state.is_gone() || closed,
        }
    }
}

/// All but CALL and INT_WAIT. One code reads and answers them, whatever their structs: they are rare, and there are many.
#[inline(never)]
#[cfg_attr(kp_driver, optimize(size))]
fn serve_other<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    nr: u32,
    user: &mut impl UserRequest,
) -> RequestResult {
    let Some(layout) = RequestLayout::of_number(nr) else { return Err(TransportStatus::UNKNOWN_REQUEST.status()) };
    let mut space = Space([0; LONGEST]);
    if let Err(error) = read_request(user, layout, 0, space.0.as_mut_bytes()) {
        return error.answer(user).map(|_| ());
    }
    let error = match answer(session, cx, nr, &mut space, user) {
        Ok(()) => Status::OK.into(),
        Err(RequestError::Answer(error)) => error,
        Err(RequestError::Transport(status)) => return Err(status),
    };
    let Ok(head) = space.view::<Head>() else { return Err(TransportStatus::FAULT.status()) };
    (head.status, head.detail) = (error.status.0, error.detail);
    let known = layout.size.min(head.size as usize);
    let bytes = space.0.as_bytes().get(STATUS_AT..known).unwrap_or(&[]);
    user.write(STATUS_AT, bytes).map_err(|Faulted| {
        if error.status == Status::OK {
            undo(session, cx, nr);
        }
        TransportStatus::FAULT.status()
    })
}

/// Fills in the answer of a request whose struct is in `space`.
#[inline(always)]
fn answer<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    nr: u32,
    space: &mut Space,
    user: &mut impl UserRequest,
) -> Result<(), RequestError> {
    match nr {
        request::Query::NR => open::query(session, space.view()?, user),
        request::Open::NR => open::open(session, cx, space.view()?, user),
        request::Close::NR => Ok(close(session, cx)?),
        request::IntEnable::NR => interrupts::enable(session, cx, space.view()?, user),
        request::IntCount::NR => interrupts::count(session, cx, space.view()?),
        request::IntDisable::NR => interrupts::disable(session, cx, space.view()?),
        request::RingSetup::NR => ring::setup(session, cx, space.view()?),
        request::RingEnter::NR => ring::enter(session, cx, space.view()?),
        _ => ring::teardown(session),
    }
}

/// A request was carried out, and its answer cannot be written: the app's memory has gone since it was read. What the app now does not
/// know that it has is given back. A session ends with that, and its handle.
#[cold]
#[inline(never)]
#[cfg_attr(kp_driver, optimize(size))]
fn undo<P: Plugin>(session: &Session<P>, cx: &mut Passive, nr: u32) {
    let _ = match nr {
        request::Open::NR => close(session, cx).map_err(RequestError::from),
        request::IntEnable::NR => interrupts::disable_own(session, cx).map(|_| ()),
        request::RingSetup::NR => ring::teardown(session),
        _ => Ok(()),
    };
}
