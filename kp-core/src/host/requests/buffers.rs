//! BUFFER_REGISTER and BUFFER_RELEASE: memory of the app's that stays where it is.
use super::layout::Space;
use crate::{
    Passive, Plugin, Status,
    host::{
        RawPages, buffer_table::BufferTable, kernel, outcome::RequestError, page_ref::PageRef, session::Session,
        user_request::UserRequest,
    },
    limits,
};
use core::{num::NonZeroUsize, ptr::NonNull};
use kp_abi::{
    TransportStatus,
    request::{self, access, feature},
    ring::PAGE,
};

/// The session's table, if it may have buffers. Inlined, so that the compiler knows where there is none.
#[inline(always)]
fn table<P: Plugin>(session: &Session<P>) -> Result<&BufferTable, RequestError> {
    if !session.is_open() || kernel::poisoned() {
        return Err(session.refusal_status().into());
    }
    let granted = session.features() & feature::BUFFERS != 0;
    session.buffer_table().filter(|_| granted).ok_or(TransportStatus::UNKNOWN_REQUEST.into())
}

/// BUFFER_REGISTER. The memory is pinned outside of the session's gate, which no page of the app's may hold up.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn register<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    request: &request::BufferRegister,
    user: &mut impl UserRequest,
) -> Result<(), RequestError> {
    let table = table(session)?;
    let page = PAGE as u64;
    let write = match request.access {
        access::READ => false,
        access::WRITE => true,
        _ => return Err(Status::BAD_FIELD.into()),
    };
    let is_whole = request.addr.is_multiple_of(page) && request.len.is_multiple_of(page);
    if !is_whole || request.buffer >= limits::MAX_BUFFERS || request.reserved != 0 {
        return Err(Status::BAD_FIELD.into());
    }
    if request.len > limits::MAX_BUFFER {
        return Err(Status::PAYLOAD_TOO_LARGE.into());
    }
    let len = usize::try_from(request.len).ok().and_then(NonZeroUsize::new).ok_or(Status::BAD_FIELD)?;
    if !user.access_ok(request.addr, len.get()) {
        return Err(TransportStatus::FAULT.into());
    }
    let refused =
        |error| if error == Status::CLOSED { session.refusal_status().into() } else { RequestError::from(error) };
    table.check(cx, request.buffer, len).map_err(refused)?;
    let raw = user.pin(request.addr, len, write).map_err(|error| {
        if error == TransportStatus::FAULT.status() { TransportStatus::FAULT.into() } else { RequestError::from(error) }
    })?;
    // SAFETY: just pinned, with this length, for this alone.
    let pages = unsafe { PageRef::new(cx, raw, len, write)? };
    table.insert(cx, request.buffer, pages).map_err(refused)
}

/// BUFFER_RELEASE.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn release<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    request: &request::BufferRelease,
) -> Result<(), RequestError> {
    let table = table(session)?;
    if request.reserved != 0 {
        return Err(Status::BAD_FIELD.into());
    }
    table.remove(cx, request.buffer)?;
    Ok(())
}

impl<P: Plugin> Session<P> {
    /// The app takes back what [`UserRequest::pin`] has given, other than by BUFFER_RELEASE: where a request keeps the memory and is cancelled. The
    /// pages are freed when nobody uses them any more; a ring that is made of them ends, after the message that runs. Passive.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn unregister(&self, cx: &mut Passive, pages: NonNull<RawPages>) {
        if let Some(table) = self.buffer_table() {
            drop(table.take_back(cx, pages, || self.rings.discard()));
        }
    }
}

/// The answer of BUFFER_REGISTER cannot be written: the buffer is let go.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn undo<P: Plugin>(session: &Session<P>, cx: &mut Passive, space: &mut Space) -> Result<(), RequestError> {
    let request: &request::BufferRegister = space.view()?;
    table(session)?.remove(cx, request.buffer)?;
    Ok(())
}
