//! One submission: checked as a CALL is, its bytes copied in, the handler run, the reply copied out.
//!
//! Most messages have arguments and a reply of fixed size, and come as the interface declares them: [`FastSubmission`] has a copy of itself for
//! each of those, with the sizes built in. Every other submission takes the slow path, which answers those too.
use super::queues::{Queues, copy_in, copy_out};
use crate::{
    Error, Message, Passive, Plugin, Reply, Result, Status,
    host::{
        buffers::too_large,
        direct::below_limits,
        nospec::{array_index_mask_nospec, array_index_nospec},
        session::Session,
        written,
    },
    limits,
};
use core::{
    mem::MaybeUninit,
    slice,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use kp_abi::{
    Direct,
    ring::{
        INLINE, NOWAIT,
        queue::{DriverSide, SubmissionEntry},
    },
    zerocopy::{FromBytes, IntoBytes},
};

/// Runs one message, whose answer goes to the ring. `Err`: it went wrong; that is its answer too.
#[inline(always)]
pub(super) fn run_submission<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    entry: SubmissionEntry<'_>,
    data: &[AtomicU64],
    ring: (&mut DriverSide, &Queues<'_>),
) -> Result<(), Error> {
    let (side, queues) = ring;
    if let Some(answer) =
        P::direct(entry.number(), FastSubmission { session, cx: &mut *cx, entry, data, ring: (&mut *side, queues) })
    {
        return answer;
    }
    // Word by word: in registers, where the fast path has them.
    let SubmissionEntry { user_data, message, input, output, inline } = entry;
    match run_slow_path(session, cx, message, input, output, inline, data) {
        Ok(written) => {
            side.post(queues, user_data, Status::OK, written);
            Ok(())
        }
        Err(error) => {
            side.post(queues, user_data, error.status, error.detail);
            Err(error)
        }
    }
}

/// The slow path.
#[inline(never)]
fn run_slow_path<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    message: u64,
    input: u64,
    output: u64,
    inline: &[AtomicU64],
    data: &[AtomicU64],
) -> Result<u32> {
    let entry = SubmissionEntry { user_data: 0, message, input, output, inline };
    if entry.flags() & !(INLINE | NOWAIT) != 0 {
        return Err(Status::UNKNOWN_FLAG.into());
    }
    let (args_len, in_len, room) = (entry.args_len(), entry.in_len(), entry.out_len());
    if args_len > limits::MAX_ARGS || in_len > limits::MAX_DATA || room > limits::MAX_DATA {
        return Err(Status::PAYLOAD_TOO_LARGE.into());
    }
    let data_at = args_len.next_multiple_of(8);
    let len = if in_len == 0 { args_len } else { data_at + in_len };
    let from = if entry.flags() & INLINE == 0 {
        part(data, entry.in_word(), len)?
    } else {
        inline.get(..len.div_ceil(8)).ok_or(Status::INPUT_LENGTH)?
    };
    let to = part(data, entry.out_word(), room)?;
    let mut buffers = session.buffers.get(cx, in_len, room)?;
    let (input, output) = buffers.halves()?;
    let input = <[u64]>::mut_from_bytes(input).map_err(|_| too_large())?;
    copy_in(from, input.get_mut(..from.len()).ok_or_else(too_large)?);
    let bytes = input.as_bytes();
    let message = Message {
        id: entry.number(),
        args: bytes.get(..args_len).ok_or_else(too_large)?,
        data: bytes.get(data_at..data_at + in_len).ok_or_else(too_large)?,
    };
    let mut reply = Reply::new(output.get_mut(..room).ok_or_else(too_large)?);
    let ran = session.enter(entry.flags() & NOWAIT != 0).and_then(|inside| inside.dispatch(cx, message, &mut reply));
    ran.map_err(|error| session.sanitize_error(error))?;
    let bytes = written(reply, room)?;
    copy_out(bytes, to);
    Ok(bytes.len() as u32)
}

/// `len` bytes of the data area from word `at` on, in whole words. BadField: not all of them are there.
#[inline(always)]
fn part(data: &[AtomicU64], at: usize, len: usize) -> Result<&[AtomicU64]> {
    if len == 0 {
        return Ok(&[]);
    }
    let count = len.div_ceil(8);
    if at + count > data.len() {
        return Err(Status::BAD_FIELD.into());
    }
    let at = array_index_nospec(at, data.len());
    // SAFETY: `at + count` words are there, and clamping gives `at` back, or 0.
    Ok(unsafe { data.get_unchecked(at..at + count) })
}

/// Both places on the fast path: `ARGS` and `REPLY` bytes of the data area, in whole words, from these words on. None: not all of them
/// are there.
#[inline(always)]
fn places<const ARGS: usize, const REPLY: usize>(data: &[AtomicU64], from: u64, to: u64) -> Option<[&[AtomicU64]; 2]> {
    let [from, to] = [from, to].map(|word| usize::try_from(word).unwrap_or(usize::MAX));
    let (from_there, to_there) = (starts::<ARGS>(data, from), starts::<REPLY>(data, to));
    // All of it in both cases, or nothing in one.
    if from_there & to_there == 0 {
        return None;
    }
    let (from, to) = (from & from_there, to & to_there);
    // SAFETY: ARGS bytes, in whole words, may start there.
    let from = unsafe { data.get_unchecked(from..from + ARGS.div_ceil(8)) };
    // SAFETY: REPLY bytes, in whole words, may start there.
    let to = unsafe { data.get_unchecked(to..to + REPLY.div_ceil(8)) };
    Some([from, to])
}

/// All ones if `LEN` bytes, in whole words, may start at this word of the data area; else zero.
#[inline(always)]
fn starts<const LEN: usize>(data: &[AtomicU64], at: usize) -> usize {
    array_index_mask_nospec(at, (data.len() + 1).saturating_sub(LEN.div_ceil(8)))
}

/// A submission on the fast path. Its answer: `None`, nothing has happened, and it is not one for that.
struct FastSubmission<'s, P: Plugin> {
    session: &'s Session<P>,
    cx: &'s mut Passive,
    entry: SubmissionEntry<'s>,
    data: &'s [AtomicU64],
    ring: (&'s mut DriverSide, &'s Queues<'s>),
}

impl<P: Plugin> Direct for FastSubmission<'_, P> {
    type Handler = P;
    type Context = Passive;
    type Session = P::Session;
    type Answer = Option<Result<()>>;

    #[inline(always)]
    fn fixed<const ID: u32, const ARGS: usize, const REPLY: usize>(
        self,
        run: impl for<'m> FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> Result<()>,
    ) -> Option<Result<()>> {
        const { below_limits::<ARGS, REPLY>() };
        let Self { session, cx, entry, data, ring: (side, queues) } = self;
        // The length as declared, and no flags.
        if (entry.message ^ (ARGS as u64) << 32) >> 32 != 0 {
            return None;
        }
        // No data, and the room as declared: else something is left in the upper halves, and that is nowhere.
        let [from, to] = places::<ARGS, REPLY>(data, entry.input, entry.output ^ (REPLY as u64) << 32)?;
        let ran = session.enter(false).and_then(
            #[inline(always)]
            |inside| {
                let mut input = [const { MaybeUninit::<u64>::uninit() }; limits::MAX_ARGS / 8];
                for (to, from) in input.iter_mut().zip(from) {
                    to.write(from.load(Relaxed));
                }
                // SAFETY: ARGS bytes, which by `below_limits` is MAX_ARGS at most, were written just now.
                let args = unsafe { slice::from_raw_parts(input.as_ptr().cast::<u8>(), ARGS) };
                let mut room = [0; REPLY];
                let mut reply = Reply::new(&mut room);
                let message = Message { id: entry.number(), args, data: &[] };
                run(inside.plugin(), cx, inside.value(), message, &mut reply)?;
                let bytes = written(reply, REPLY)?;
                copy_out(bytes, to);
                side.post(queues, entry.user_data, Status::OK, bytes.len() as u32);
                Ok(())
            },
        );
        Some(ran.map_err(|error| {
            let error = session.sanitize_error(error);
            side.post(queues, entry.user_data, error.status, error.detail);
            error
        }))
    }

    #[inline(always)]
    fn segments(
        self,
        _: usize,
        _: impl for<'m> FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> Result<()>,
    ) -> Option<Result<()>> {
        None
    }

    #[inline(always)]
    fn unknown(self) -> Option<Result<()>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_lie_in_the_data_area_or_there_are_none() {
        let area: [AtomicU64; 9] = Default::default();
        let words = [0, 1, 4, 5, 8, 9, 1 << 32, 1 << 63, u64::MAX];
        for len in 0..=area.len() {
            let data = &area[..len];
            let part =
                |at: u64, words: u64| Some(data.get(at as usize..at.checked_add(words)? as usize)?.as_ptr_range());
            for (from, to) in words.iter().flat_map(|&from| words.map(|to| (from, to))) {
                let expected = part(from, 4).zip(part(to, 8));
                let found = places::<25, 64>(data, from, to).map(|[from, to]| (from.as_ptr_range(), to.as_ptr_range()));
                assert_eq!(found, expected, "words {from} and {to} of {len}");
            }
        }
    }
}
