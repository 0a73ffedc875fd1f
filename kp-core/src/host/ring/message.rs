//! One submission: checked as a CALL is, its bytes copied in, the handler run, the reply copied out.
//!
//! Most messages have arguments and a reply of fixed size, and come as the interface declares them: [`Fast`] has a copy of itself for
//! each of those, with the sizes built in. Every other submission takes the long way, which answers those too.
use super::{
    super::{
        clamp,
        session::{SMALL, Session},
    },
    memory::{copy_in, copy_out},
};
use crate::{Error, Message, Passive, Plugin, Reply, Result, Status, limits};
use core::{
    mem::MaybeUninit,
    slice,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use kp_abi::{
    Direct,
    ring::{INLINE, NOWAIT, queue::Taken},
    zerocopy::{FromBytes, IntoBytes},
};

/// Words of the buffers that a ring has for messages of up to [`SMALL`] bytes each way.
pub(super) const SMALL_WORDS: usize = (limits::MAX_ARGS + 2 * SMALL) / 8;

impl<P: Plugin> Session<P> {
    /// Runs one message: how many bytes of reply were written to the data area. `small` has [`SMALL_WORDS`].
    #[inline(always)]
    pub(super) fn run_submission(&self, taken: &Taken<'_>, data: &[AtomicU64], small: &mut [u64]) -> Result<u32> {
        match P::direct(taken.message, Fast { session: self, taken, data }) {
            Some(answer) => answer,
            None => self.run_slowly(taken, data, small),
        }
    }

    /// The long way.
    #[inline(never)]
    fn run_slowly(&self, taken: &Taken<'_>, data: &[AtomicU64], small: &mut [u64]) -> Result<u32> {
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
            return self.run_in::<SMALL>(taken, from, to, small);
        }
        self.run_large(taken, from, to)
    }

    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn run_large(&self, taken: &Taken<'_>, from: &[AtomicU64], to: &[AtomicU64]) -> Result<u32> {
        self.large.with(|bytes| match <[u64]>::mut_from_bytes(bytes) {
            Ok(words) => self.run_in::<{ limits::MAX_DATA }>(taken, from, to, words),
            Err(_) => Err(Status::NO_MEMORY.into()),
        })?
    }

    /// Runs a message whose input and reply have at most `DATA` bytes, in buffers for so many.
    fn run_in<const DATA: usize>(
        &self,
        taken: &Taken<'_>,
        from: &[AtomicU64],
        to: &[AtomicU64],
        words: &mut [u64],
    ) -> Result<u32> {
        let (args_len, in_len, room) = (usize::from(taken.args_len), taken.in_len as usize, taken.out_len as usize);
        let data_at = args_len.next_multiple_of(8);
        let too_large = Error::from(Status::PAYLOAD_TOO_LARGE);
        let (input, output) = words.split_at_mut_checked((limits::MAX_ARGS + DATA) / 8).ok_or(too_large)?;
        copy_in(from, input.get_mut(..from.len()).ok_or(too_large)?);
        let bytes = input.as_bytes();
        let message = Message {
            id: taken.message,
            args: bytes.get(..args_len).ok_or(too_large)?,
            data: bytes.get(data_at..data_at + in_len).ok_or(too_large)?,
        };
        let mut reply = Reply::new(output.as_mut_bytes().get_mut(..room).ok_or(too_large)?);
        self.call(taken.flags & NOWAIT != 0, message, &mut reply).map_err(|error| self.public(error))?;
        let bytes = reply.into_bytes();
        copy_out(bytes, to);
        Ok(bytes.len() as u32)
    }
}

/// `len` bytes of the data area at `offset`, in whole words. BadField: the offset is no multiple of 8, or not all of them are there.
#[inline(always)]
fn part(data: &[AtomicU64], offset: u32, len: usize) -> Result<&[AtomicU64]> {
    if len == 0 {
        return Ok(&[]);
    }
    let (at, count) = (offset as usize / 8, len.div_ceil(8));
    if !offset.is_multiple_of(8) || at + count > data.len() {
        return Err(Status::BAD_FIELD.into());
    }
    let at = clamp(at, data.len());
    data.get(at..at + count).ok_or(Status::BAD_FIELD.into())
}

/// A submission on the short way. `None`: it is not one for that.
struct Fast<'s, P: Plugin> {
    session: &'s Session<P>,
    taken: &'s Taken<'s>,
    data: &'s [AtomicU64],
}

impl<P: Plugin> Direct for Fast<'_, P> {
    type Handler = P;
    type Context = Passive;
    type Session = P::Session;
    type Answer = Option<Result<u32>>;

    #[inline(always)]
    fn fixed<const ARGS: usize, const REPLY: usize>(
        self,
        run: impl for<'m> FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> Result<()>,
    ) -> Option<Result<u32>> {
        let Self { session, taken, data } = self;
        let as_declared = taken.flags == 0
            && usize::from(taken.args_len) == ARGS
            && taken.in_len == 0
            && (REPLY..=limits::MAX_DATA).contains(&(taken.out_len as usize));
        if !as_declared {
            return None;
        }
        let from = part(data, taken.in_off, ARGS).ok()?;
        let to = part(data, taken.out_off, if REPLY == 0 { 0 } else { taken.out_len as usize }).ok()?;
        let exact = to.get(..REPLY.div_ceil(8))?;
        let mut words = [const { MaybeUninit::<u64>::uninit() }; limits::MAX_ARGS / 8];
        for (to, from) in words.iter_mut().zip(from.get(..ARGS.div_ceil(8))?) {
            to.write(from.load(Relaxed));
        }
        // SAFETY: ARGS bytes, which is MAX_ARGS at most, were written just now.
        let args = unsafe { slice::from_raw_parts(words.as_ptr().cast::<u8>(), ARGS) };
        let mut room = [0; REPLY];
        let mut reply = Reply::new(&mut room);
        let message = Message { id: taken.message, args, data: &[] };
        if let Err(error) = session.inside(false, |plugin, cx, value| run(plugin, cx, value, message, &mut reply)) {
            return Some(Err(session.public(error)));
        }
        let bytes = reply.into_bytes();
        match <&[u8; REPLY]>::try_from(bytes) {
            Ok(bytes) => copy_out(bytes, exact),
            Err(_) => copy_out(bytes, to),
        }
        Some(Ok(bytes.len() as u32))
    }

    #[inline(always)]
    fn segments(
        self,
        _: usize,
        _: impl for<'m> FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> Result<()>,
    ) -> Option<Result<u32>> {
        None
    }

    #[inline(always)]
    fn unknown(self) -> Option<Result<u32>> {
        None
    }
}
