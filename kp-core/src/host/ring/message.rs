//! One submission: checked as a CALL is, its bytes copied in, the handler run, the reply copied out.
use super::{
    super::session::{SMALL, Session},
    memory::{copy_in, copy_out},
};
use crate::{Error, Message, Plugin, Reply, Result, Status, limits};
use core::sync::atomic::AtomicU64;
use kp_abi::{
    ring::{INLINE, NOWAIT, queue::Taken},
    zerocopy::{FromBytes, IntoBytes},
};

/// Where small messages are while they run: the driver's own memory, in words.
pub(super) struct Buffers<'a> {
    pub(super) input: &'a mut [u64],
    pub(super) output: &'a mut [u64],
}

/// Words of [`Buffers::input`].
pub(super) const INPUT_WORDS: usize = (limits::MAX_ARGS + SMALL) / 8;
/// Words of [`Buffers::output`].
pub(super) const OUTPUT_WORDS: usize = SMALL / 8;

impl<P: Plugin> Session<P> {
    /// Runs one message: how many bytes of reply were written to the data area.
    #[inline(always)]
    pub(super) fn run_submission(&self, taken: &Taken<'_>, data: &[AtomicU64], small: &mut Buffers<'_>) -> Result<u32> {
        if taken.flags & !(INLINE | NOWAIT) != 0 {
            return Err(Status::UNKNOWN_FLAG.into());
        }
        let (args_len, in_len, room) = (usize::from(taken.args_len), taken.in_len as usize, taken.out_len as usize);
        if args_len > limits::MAX_ARGS || in_len > limits::MAX_DATA || room > limits::MAX_DATA {
            return Err(Status::PAYLOAD_TOO_LARGE.into());
        }
        let data_at = args_len.next_multiple_of(8);
        let len = if in_len == 0 { args_len } else { data_at + in_len };
        let from = if taken.flags & INLINE == 0 {
            part(data, taken.in_off, len)?
        } else {
            taken.inline.get(..len.div_ceil(8)).ok_or(Status::INPUT_LENGTH)?
        };
        let to = part(data, taken.out_off, room)?;
        if in_len <= SMALL && room <= SMALL {
            return self.run_in(taken, (from, to), small);
        }
        self.run_large(taken, (from, to))
    }
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn run_large(&self, taken: &Taken<'_>, places: (&[AtomicU64], &[AtomicU64])) -> Result<u32> {
        self.large.with(|buffers| {
            let words = <[u64]>::mut_from_bytes(buffers).map_err(|_| Status::NO_MEMORY)?;
            let halves = words.split_at_mut_checked((limits::MAX_ARGS + limits::MAX_DATA) / 8);
            let (input, output) = halves.ok_or(Status::NO_MEMORY)?;
            self.run_in(taken, places, &mut Buffers { input, output })
        })?
    }

    #[inline(always)]
    fn run_in(
        &self,
        taken: &Taken<'_>,
        (from, to): (&[AtomicU64], &[AtomicU64]),
        buffers: &mut Buffers<'_>,
    ) -> Result<u32> {
        let (args_len, in_len, room) = (usize::from(taken.args_len), taken.in_len as usize, taken.out_len as usize);
        let data_at = args_len.next_multiple_of(8);
        let too_large = Error::from(Status::PAYLOAD_TOO_LARGE);
        copy_in(from, buffers.input.get_mut(..from.len()).ok_or(too_large)?);
        let bytes = buffers.input.as_bytes();
        let message = Message {
            id: taken.message,
            args: bytes.get(..args_len).ok_or(too_large)?,
            data: bytes.get(data_at..data_at + in_len).ok_or(too_large)?,
        };
        let mut reply = Reply::new(buffers.output.as_mut_bytes().get_mut(..room).ok_or(too_large)?);
        self.call(taken.flags & NOWAIT != 0, message, &mut reply).map_err(|error| self.public(error))?;
        let written = reply.into_bytes();
        copy_out(written, to);
        Ok(written.len() as u32)
    }
}

/// `len` bytes of the data area at `offset`, in whole words. BadField: the offset is no multiple of 8, or not all of them are there.
#[inline(always)]
fn part(data: &[AtomicU64], offset: u32, len: usize) -> Result<&[AtomicU64]> {
    if len == 0 {
        return Ok(&[]);
    }
    let at = offset as usize / 8;
    if !offset.is_multiple_of(8) || at > data.len() || len.div_ceil(8) > data.len() - at {
        return Err(Status::BAD_FIELD.into());
    }
    let at = super::super::clamp(at, data.len());
    data.get(at..at + len.div_ceil(8)).ok_or(Status::BAD_FIELD.into())
}
