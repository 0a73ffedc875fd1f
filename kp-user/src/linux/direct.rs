//! The direct form of CALL: one buffer, as long as the message needs it.
use super::{
    kernel::{Kernel, status},
    prepared::Prepared,
};
use kp_abi::{
    Error, Result, Shape, Status,
    limits::{MAX_ARGS, MAX_FIXED_REPLY},
    request::{Answer, Segments},
    zerocopy::{FromBytes, IntoBytes},
};

/// Where arguments and reply of a message of fixed shape stand.
const FIXED: usize = size_of::<Answer>();
/// Where the arguments of a message with segments stand.
const BEHIND: usize = FIXED + size_of::<Segments>();

/// Bytes of arguments and of reply that most messages do with: what has to be cleared for each call is little then.
const FEW: usize = 64;
/// Bytes of arguments that most messages with data do with.
const FEW_ARGS: usize = 16;
/// As many as there can be.
const MANY: usize = if MAX_ARGS > MAX_FIXED_REPLY { MAX_ARGS } else { MAX_FIXED_REPLY };

/// Sends a message that has this shape, by agreement, in parts that fit it. The number of bytes of reply.
#[inline]
pub fn call(
    kernel: &impl Kernel,
    shape: Shape,
    message: u32,
    args: &[u8],
    data: &[u8],
    reply: &mut [u8],
) -> Result<usize> {
    match shape {
        Shape::Fixed { .. } if args.len() <= FEW && reply.len() <= FEW => {
            fixed::<{ (FIXED + FEW) / 8 }>(kernel, message, args, reply)
        }
        Shape::Fixed { .. } => large(|| fixed::<{ (FIXED + MANY) / 8 }>(kernel, message, args, reply)),
        Shape::Segments { .. } if args.len() <= FEW_ARGS => {
            segments::<{ (BEHIND + FEW_ARGS) / 8 }>(kernel, message, args, data, reply)
        }
        Shape::Segments { .. } => large(|| segments::<{ (BEHIND + MAX_ARGS) / 8 }>(kernel, message, args, data, reply)),
    }
}

/// Apart, so that the others need no more stack than they use.
#[inline(never)]
fn large(call: impl FnOnce() -> Result<usize>) -> Result<usize> {
    call()
}

/// Copies to the front of `to`. Most messages have few arguments, or none, and nothing to copy is no call.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    if !from.is_empty() {
        to[..from.len()].copy_from_slice(from);
    }
}

/// In a buffer of so many words.
#[inline]
fn fixed<const WORDS: usize>(kernel: &impl Kernel, message: u32, args: &[u8], reply: &mut [u8]) -> Result<usize> {
    let mut words = [0u64; WORDS];
    let buffer = words.as_mut_bytes();
    copy(&mut buffer[FIXED..], args);
    let told = kernel.ioctl(Prepared::fixed(message, buffer));
    answer(told, buffer)?;
    copy(reply, &buffer[FIXED..][..reply.len()]);
    Ok(reply.len())
}

/// In a buffer of so many words.
#[inline]
fn segments<const WORDS: usize>(
    kernel: &impl Kernel,
    message: u32,
    args: &[u8],
    data: &[u8],
    reply: &mut [u8],
) -> Result<usize> {
    let room = reply.len();
    let mut words = [0u64; WORDS];
    let buffer = words.as_mut_bytes();
    copy(&mut buffer[BEHIND..], args);
    let told = kernel.ioctl(Prepared::segments(message, buffer, data, reply));
    let written = answer(told, buffer)? as usize;
    if written <= room { Ok(written) } else { Err(Status::PROTOCOL.into()) }
}

/// What the ioctl and the buffer say: the detail.
#[inline]
fn answer(told: Result<u32, i32>, buffer: &[u8]) -> Result<u32> {
    let (answer, _) = Answer::read_from_prefix(buffer).map_err(|_| Status::PROTOCOL)?;
    match told {
        Ok(0) => Ok(answer.detail),
        Ok(_) => Err(Error::new(Status(answer.status), answer.detail)),
        Err(errno) => Err(status(errno).into()),
    }
}
