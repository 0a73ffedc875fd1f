//! Requests, from the app's bytes to the app's bytes: which one it is, and its answer. One code for every kernel; a port brings the
//! [`UserRequest`].
//!
//! - `layout`: the size rule; a request's struct, copied and checked.
//! - `call`: CALL: its lengths, its buffers, the handler, the reply.
//! - `open`: QUERY and OPEN: what app and driver agree on.
//! - `schema`: SCHEMA: what the messages are, for an app without their source.
//! - `buffers`: BUFFER_REGISTER and BUFFER_RELEASE.
//! - `interrupts`: INT_ENABLE, INT_DISABLE, INT_COUNT. INT_WAIT is in `wait`, the ring's requests are in `ring`.
mod buffers;
mod call;
mod interrupts;
mod layout;
mod open;
mod schema;

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
    request::{self, Head, Request, RequestNr},
    zerocopy::IntoBytes,
};
use layout::{LONGEST, STATUS_AT, Space, read_request};
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
        cx.in_session(&self.context, |cx| match nr {
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
            notification: self
                .device
                .interrupts()
                .is_some_and(|interrupts| interrupts.has_pending(cx, &self.context.waker)),
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
    let Some(request) = RequestNr::of(nr) else { return Err(TransportStatus::UNKNOWN_REQUEST.status()) };
    let info = request.info();
    let mut space = Space([0; LONGEST]);
    if let Err(error) = read_request(user, info, 0, space.0.as_mut_bytes()) {
        return error.answer(user).map(|_| ());
    }
    let error = match answer(session, cx, request, &mut space, user) {
        Ok(()) => Status::OK.into(),
        Err(RequestError::Answer(error)) => error,
        Err(RequestError::Transport(status)) => return Err(status),
    };
    let Ok(head) = space.view::<Head>() else { return Err(TransportStatus::FAULT.status()) };
    (head.status, head.detail) = (error.status.0, error.detail);
    let known = info.size.min(head.size as usize);
    let bytes = space.0.as_bytes().get(STATUS_AT..known).unwrap_or(&[]);
    user.write(STATUS_AT, bytes).map_err(|Faulted| {
        if error.status == Status::OK {
            undo(session, cx, request, &mut space);
        }
        TransportStatus::FAULT.status()
    })
}

/// Fills in the answer of a request whose struct is in `space`.
#[inline(always)]
fn answer<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    request: RequestNr,
    space: &mut Space,
    user: &mut impl UserRequest,
) -> Result<(), RequestError> {
    match request {
        RequestNr::Query => open::query(session, space.view()?, user),
        RequestNr::Open => open::open(session, cx, space.view()?, user),
        RequestNr::Close => Ok(close(session, cx)?),
        RequestNr::IntEnable => interrupts::enable(session, cx, space.view()?, user),
        RequestNr::IntCount => interrupts::count(session, cx, space.view()?),
        RequestNr::IntDisable => interrupts::disable(session, cx, space.view()?),
        RequestNr::BufferRegister => buffers::register(session, cx, space.view()?, user),
        RequestNr::BufferRelease => buffers::release(session, cx, space.view()?),
        RequestNr::RingSetup => ring::setup(session, cx, space.view()?),
        RequestNr::RingEnter => ring::enter(session, cx, space.view()?),
        RequestNr::RingTeardown => ring::teardown(session),
        RequestNr::Schema => schema::schema::<P>(space.view()?, user),
        // They have code of their own.
        RequestNr::Call | RequestNr::IntWait => Err(TransportStatus::UNKNOWN_REQUEST.into()),
    }
}

/// A request was carried out, and its answer cannot be written: the app's memory has gone since it was read. What the app now does not
/// know that it has is given back. A session ends with that, and its handle.
#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
fn undo<P: Plugin>(session: &Session<P>, cx: &mut Passive, request: RequestNr, space: &mut Space) {
    let _ = match request {
        RequestNr::BufferRegister => buffers::undo(session, cx, space),
        RequestNr::Open => close(session, cx).map_err(RequestError::from),
        RequestNr::IntEnable => interrupts::undo(session, cx),
        RequestNr::RingSetup => ring::undo(session),
        RequestNr::Query
        | RequestNr::Call
        | RequestNr::Close
        | RequestNr::IntWait
        | RequestNr::IntCount
        | RequestNr::IntDisable
        | RequestNr::BufferRelease
        | RequestNr::RingEnter
        | RequestNr::RingTeardown
        | RequestNr::Schema => Ok(()),
    };
}
