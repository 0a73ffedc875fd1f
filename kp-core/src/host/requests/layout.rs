//! The size rule: a request's struct, of the app's version, as the driver's. And who may ask: a handle that only reads may not write.
use crate::{
    Status,
    host::{outcome::RequestError, user_request::UserRequest},
    limits,
};
use core::mem::offset_of;
use kp_abi::{
    TransportStatus,
    request::{Access, Head, Request, RequestInfo, RequestNr},
    zerocopy::{FromBytes, IntoBytes, KnownLayout},
};

/// Offset of the status in a request's head.
pub(super) const STATUS_AT: usize = offset_of!(Head, status);
/// The longest struct of all, in words.
pub(super) const LONGEST: usize = {
    let (mut longest, mut i) = (0, 0);
    while i < RequestNr::ALL.len() {
        let size = RequestNr::ALL[i].info().size;
        longest = if size > longest { size } else { longest };
        i += 1;
    }
    longest / 8
};

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

/// Copies a request's struct. `Err`: it goes no further.
pub(in crate::host) fn read_struct<R: Request>(user: &mut impl UserRequest) -> Result<R, RequestError> {
    let mut request = R::new_zeroed();
    read_request(user, R::INFO, 0, request.as_mut_bytes())?;
    Ok(request)
}

/// Copies a request's struct to the start of `bytes`, which are zeros: one copy of its first version, and the rest only if the app has
/// more. `flags`: those that the request knows. `Err`: it goes no further.
#[inline(always)]
pub(super) fn read_request(
    user: &mut impl UserRequest,
    info: &RequestInfo,
    flags: u32,
    bytes: &mut [u8],
) -> Result<(), RequestError> {
    let Some(first) = bytes.get_mut(..info.first_size) else { return Err(Status::TOO_LARGE.into()) };
    if user.read_header(first).is_err() {
        return Err(short_or_fault(user, info));
    }
    let Ok((head, _)) = Head::read_from_prefix(first) else { return Err(Status::TOO_SMALL.into()) };
    if head.size as usize != info.first_size {
        read_rest(user, info, head.size as usize, bytes)?;
    }
    if head.flags & !flags != 0 {
        return Err(Status::UNKNOWN_FLAG.into());
    }
    if info.access == Access::ReadWrite && !user.is_read_write() {
        return Err(TransportStatus::DENIED.into());
    }
    Ok(())
}

/// The struct could not be copied. Was it too short, or is its address bad?
#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
fn short_or_fault(user: &mut impl UserRequest, info: &RequestInfo) -> RequestError {
    match user.read_size() {
        Ok(size) if (size as usize) < info.first_size => RequestError::Answer(Status::TOO_SMALL.into()),
        _ => TransportStatus::FAULT.into(),
    }
}

#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
fn read_rest(
    user: &mut impl UserRequest,
    info: &RequestInfo,
    size: usize,
    bytes: &mut [u8],
) -> Result<(), RequestError> {
    if size < info.first_size {
        return Err(Status::TOO_SMALL.into());
    }
    if size > limits::MAX_REQUEST {
        return Err(Status::TOO_LARGE.into());
    }
    let known = info.size.min(size);
    if let Some(more) = bytes.get_mut(info.first_size..known).filter(|more| !more.is_empty()) {
        user.read_tail(info.first_size, more)?;
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
