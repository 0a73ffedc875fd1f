//! CALL, from the app's bytes to the app's bytes, one step after the other.
use super::layout::read_request;
use crate::{
    Message, Passive, Plugin, Reply, Status,
    host::{
        buffers::{InUse, too_large},
        outcome::{DirectResult, RequestError},
        session::Session,
        user_request::UserRequest,
        written,
    },
    limits,
};
use kp_abi::{
    request::{self, CALL_NOWAIT, Head, Request},
    zerocopy::{FromZeros, IntoBytes},
};

/// CALL. It is one code for all lengths: an app that shares the plugin's interface calls in the direct form.
#[inline(never)]
pub(in crate::host) fn serve<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    user: &mut impl UserRequest,
) -> DirectResult {
    match read(session, user) {
        Ok((id, args, ranges)) => exchange(session, cx, id, args, &ranges, user),
        Err(error) => error.answer(user),
    }
}

/// Copies the struct, and checks it: which message, and where its bytes are, if they can be there.
#[inline(always)]
fn read<P: Plugin>(
    session: &Session<P>,
    user: &mut impl UserRequest,
) -> Result<(u32, Args<'static>, DataRanges), RequestError> {
    let mut call = request::Call::new_zeroed();
    read_request(user, request::Call::INFO, CALL_NOWAIT, call.as_mut_bytes())?;
    let len = call.args_len as usize;
    if len > limits::MAX_ARGS {
        return Err(Status::PAYLOAD_TOO_LARGE.into());
    }
    let mut ranges = DataRanges {
        in_len: call.in_len as usize,
        out_len: call.out_len as usize,
        in_addr: call.in_addr,
        out_addr: call.out_addr,
        nowait: call.head.flags & CALL_NOWAIT != 0,
    };
    ranges.check_lengths()?;
    let args_at = call.head.size as usize;
    let address = if len != 0 { user.input_range(call.args_addr, args_at, len)? } else { 0 };
    ranges.check_addresses(user, args_at + len.next_multiple_of(8))?;
    if !session.is_open() {
        return Err(session.refusal_status().into());
    }
    Ok((call.message, Args::There { address, len }, ranges))
}

/// A call of any length, whose struct was checked.
#[inline(never)]
pub(in crate::host) fn exchange<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    id: u32,
    args: Args<'_>,
    ranges: &DataRanges,
    user: &mut impl UserRequest,
) -> DirectResult {
    match try_exchange(session, cx, id, args, ranges, user) {
        Ok(()) => Ok(Status::OK),
        Err(error) => error.answer(user),
    }
}

#[inline(always)]
fn try_exchange<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    id: u32,
    args: Args<'_>,
    ranges: &DataRanges,
    user: &mut impl UserRequest,
) -> Result<(), RequestError> {
    let mut buffers = session.buffers.get(cx, ranges.in_len, ranges.out_len)?;
    let (message, room) = copy_in(user, &mut buffers, id, args, ranges)?;
    let mut reply = Reply::new(room);
    let inside = session.enter(ranges.nowait).map_err(|error| session.sanitize_error(error))?;
    inside.dispatch(cx, message, &mut reply).map_err(|error| session.sanitize_error(error))?;
    // The gate is left by now: no user memory is touched inside.
    Ok(user.reply(ranges.out_addr, written(reply, ranges.out_len)?)?)
}

/// Copies a message into a pair of buffers: the message, and the room for its reply.
#[inline(always)]
fn copy_in<'b>(
    user: &mut impl UserRequest,
    buffers: &'b mut InUse<'_>,
    id: u32,
    args: Args<'_>,
    ranges: &DataRanges,
) -> Result<(Message<'b>, &'b mut [u8]), RequestError> {
    let args_len = args.len();
    let data_at = args_len.next_multiple_of(8);
    let (input, room) = ranges.split(user, data_at, buffers)?;
    let (front, data) = input.split_at_mut_checked(data_at).ok_or_else(too_large)?;
    let front = front.get_mut(..args_len).ok_or_else(too_large)?;
    match args {
        // Few, if any: a call of memcpy costs more.
        Args::Here(args) => front.iter_mut().zip(args).for_each(|(to, from)| *to = *from),
        Args::There { .. } if args_len == 0 => {}
        Args::There { address, .. } => user.copy_data_from_user(address, front)?,
    }
    if !data.is_empty() {
        user.copy_data_from_user(ranges.in_addr, data)?;
    }
    Ok((Message { id, args: front, data }, room))
}

/// A call's fixed arguments.
#[derive(Clone, Copy)]
pub(in crate::host) enum Args<'a> {
    /// Copied already.
    Here(&'a [u8]),
    /// Still the app's, at an address that can be; at most `MAX_ARGS`.
    There { address: u64, len: usize },
}

impl Args<'_> {
    fn len(&self) -> usize {
        match *self {
            Args::Here(args) => args.len(),
            Args::There { len, .. } => len,
        }
    }
}

/// Where a call's data is, and the room for its reply.
#[derive(Clone, Copy)]
pub(in crate::host) struct DataRanges {
    pub(in crate::host) in_len: usize,
    pub(in crate::host) out_len: usize,
    pub(in crate::host) in_addr: u64,
    pub(in crate::host) out_addr: u64,
    pub(in crate::host) nowait: bool,
}

impl DataRanges {
    #[inline(always)]
    pub(in crate::host) fn check_lengths(&self) -> Result<(), RequestError> {
        if self.in_len > limits::MAX_DATA || self.out_len > limits::MAX_DATA {
            return Err(Status::PAYLOAD_TOO_LARGE.into());
        }
        Ok(())
    }

    /// Could these be the app's? `inline` is where data stands in a request that carries it itself.
    #[inline(always)]
    pub(in crate::host) fn check_addresses(
        &mut self,
        user: &impl UserRequest,
        inline: usize,
    ) -> Result<(), RequestError> {
        if self.in_len != 0 {
            self.in_addr = user.input_range(self.in_addr, inline, self.in_len)?;
        }
        if self.out_len != 0 {
            self.out_addr = user.output_range(self.out_addr, size_of::<Head>(), self.out_len)?;
        }
        Ok(())
    }

    /// A pair of buffers → `args` bytes and room for the data, and the room for the reply. All 8-aligned.
    #[inline(always)]
    pub(in crate::host) fn split<'b>(
        &self,
        user: &mut impl UserRequest,
        args: usize,
        buffers: &'b mut InUse<'_>,
    ) -> Result<(&'b mut [u8], &'b mut [u8]), RequestError> {
        user.check_usercopy(buffers.bytes(), (args + self.in_len).max(self.out_len));
        let (input, output) = buffers.halves()?;
        match (input.get_mut(..args + self.in_len), output.get_mut(..self.out_len)) {
            (Some(input), Some(output)) => Ok((input, output)),
            _ => Err(too_large().into()),
        }
    }
}
