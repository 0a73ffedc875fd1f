//! The size rule: a request's struct, of the app's version, as the driver's. And who may ask: a handle that only reads may not write.
use crate::{
    Status,
    host::{outcome::RequestError, user_request::UserRequest},
    limits,
};
use core::mem::offset_of;
use kp_abi::{
    TransportStatus,
    request::{self, Head, Request},
    zerocopy::{FromBytes, IntoBytes, KnownLayout},
};

/// Offset of the status in a request's head.
pub(super) const STATUS_AT: usize = offset_of!(Head, status);
/// The longest struct of all but CALL, in words.
pub(super) const LONGEST: usize = size_of::<request::Query>() / 8;

/// Where a request's struct is while it is served, whichever it is.
pub(super) struct Space(pub(super) [u64; LONGEST]);

impl Space {
    /// The struct.
    #[inline(always)]
    pub(super) fn view<R: FromBytes + IntoBytes + KnownLayout>(&mut self) -> Result<&mut R, RequestError> {
        const { assert!(size_of::<R>() <= 8 * LONGEST && align_of::<R>() <= 8, "LONGEST is the longest") };
        match R::mut_from_prefix(self.0.as_mut_bytes()) {
            Ok((request, _)) => Ok(request),
            Err(_) => Err(Status::TOO_SMALL.into()), // never: it is as long, and as aligned
        }
    }
}

/// What the size rule and the access rule must know of a request's struct.
#[derive(Clone, Copy)]
pub(super) struct RequestLayout {
    /// Size of its first version, in bytes.
    first: usize,
    /// Its size, in bytes.
    pub(super) size: usize,
    /// A handle that may only read may ask.
    only_reads: bool,
}

impl RequestLayout {
    pub(super) const fn of<R: Request>() -> &'static Self {
        const {
            let only_reads = matches!(R::NR, request::Query::NR | request::IntCount::NR);
            &Self { first: R::FIRST_SIZE, size: size_of::<R>(), only_reads }
        }
    }

    /// None: there is no such request.
    pub(super) const fn of_number(nr: u32) -> Option<&'static Self> {
        Some(match nr {
            request::Query::NR => Self::of::<request::Query>(),
            request::Open::NR => Self::of::<request::Open>(),
            request::Close::NR => Self::of::<request::Close>(),
            request::IntEnable::NR => Self::of::<request::IntEnable>(),
            request::IntCount::NR => Self::of::<request::IntCount>(),
            request::IntDisable::NR => Self::of::<request::IntDisable>(),
            request::RingSetup::NR => Self::of::<request::RingSetup>(),
            request::RingEnter::NR => Self::of::<request::RingEnter>(),
            request::RingTeardown::NR => Self::of::<request::RingTeardown>(),
            _ => return None,
        })
    }
}

/// Copies a request's struct. `Err`: it goes no further.
pub(in crate::host) fn read_struct<R: Request>(user: &mut impl UserRequest) -> Result<R, RequestError> {
    let mut request = R::new_zeroed();
    read_request(user, RequestLayout::of::<R>(), 0, request.as_mut_bytes())?;
    Ok(request)
}

/// Copies a request's struct to the start of `bytes`, which are zeros: one copy of its first version, and the rest only if the app has
/// more. `flags`: those that the request knows. `Err`: it goes no further.
#[inline(always)]
pub(super) fn read_request(
    user: &mut impl UserRequest,
    layout: &RequestLayout,
    flags: u32,
    bytes: &mut [u8],
) -> Result<(), RequestError> {
    let Some(first) = bytes.get_mut(..layout.first) else { return Err(Status::TOO_LARGE.into()) };
    if user.read_header(first).is_err() {
        return Err(short_or_fault(user, layout));
    }
    let Ok((head, _)) = Head::read_from_prefix(first) else { return Err(Status::TOO_SMALL.into()) };
    if head.size as usize != layout.first {
        read_rest(user, layout, head.size as usize, bytes)?;
    }
    if head.flags & !flags != 0 {
        return Err(Status::UNKNOWN_FLAG.into());
    }
    if !layout.only_reads && !user.is_read_write() {
        return Err(TransportStatus::DENIED.into());
    }
    Ok(())
}

/// The struct could not be copied. Was it too short, or is its address bad?
#[cold]
#[cfg_attr(kp_driver, optimize(size))]
#[inline(never)]
fn short_or_fault(user: &mut impl UserRequest, layout: &RequestLayout) -> RequestError {
    match user.read_size() {
        Ok(size) if (size as usize) < layout.first => RequestError::Answer(Status::TOO_SMALL.into()),
        _ => TransportStatus::FAULT.into(),
    }
}

#[cold]
#[cfg_attr(kp_driver, optimize(size))]
#[inline(never)]
fn read_rest(
    user: &mut impl UserRequest,
    layout: &RequestLayout,
    size: usize,
    bytes: &mut [u8],
) -> Result<(), RequestError> {
    if size < layout.first {
        return Err(Status::TOO_SMALL.into());
    }
    if size > limits::MAX_REQUEST {
        return Err(Status::TOO_LARGE.into());
    }
    let known = layout.size.min(size);
    if let Some(more) = bytes.get_mut(layout.first..known).filter(|more| !more.is_empty()) {
        user.read_tail(layout.first, more)?;
    }
    let mut at = known;
    while at < size {
        let mut chunk = [0u8; 64];
        let len = (size - at).min(chunk.len());
        if let Some(part) = chunk.get_mut(..len) {
            user.read_tail(at, part)?;
        }
        if chunk.iter().any(|&byte| byte != 0) {
            return Err(Status::UNKNOWN_TAIL.into());
        }
        at += len;
    }
    Ok(())
}
