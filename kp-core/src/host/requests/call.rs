//! CALL: its lengths and addresses, the buffers that it runs in, the handler, the reply.
use super::{
    super::direct::DirectResult,
    super::{
        session::{Session, is_small},
        user_request::UserRequest,
        written,
    },
    RequestError,
    layout::{RequestLayout, read_request},
    refuse,
};
use crate::{Error, Message, Passive, Plugin, Reply, Status, limits};
use kp_abi::{
    request::{self, CALL_NOWAIT},
    zerocopy::{FromZeros, IntoBytes},
};

impl<P: Plugin> Session<P> {
    /// CALL: one copy in, the handler, one copy out with the answer.
    ///
    /// It is one code for all lengths: an app that shares the plugin's interface calls in the direct form.
    #[inline(never)]
    pub(super) fn serve_call(&self, cx: &mut Passive, user: &mut impl UserRequest) -> DirectResult {
        let mut call = request::Call::new_zeroed();
        if let Err(over) = read_request(user, RequestLayout::of::<request::Call>(), CALL_NOWAIT, call.as_mut_bytes()) {
            return over.map(|()| Status::OK);
        }
        match self.check_call(&call, user) {
            Ok((args, ranges)) => self.exchange(cx, call.message, args, &ranges, user),
            Err(error) => refuse(user, error),
        }
    }

    /// Where a call's bytes are, if they can be there.
    #[inline(always)]
    fn check_call(
        &self,
        call: &request::Call,
        user: &impl UserRequest,
    ) -> Result<(Args<'static>, DataRanges), RequestError> {
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
        if !self.is_open() {
            return Err(self.refusal_status().into());
        }
        Ok((Args::There { address, len }, ranges))
    }

    /// A call of any length, in a pair of the session's buffers.
    #[inline(never)]
    pub(in crate::host) fn exchange(
        &self,
        cx: &mut Passive,
        id: u32,
        args: Args<'_>,
        ranges: &DataRanges,
        user: &mut impl UserRequest,
    ) -> DirectResult {
        let done = self
            .buffers(ranges.in_len, ranges.out_len)
            .with(cx, |cx, data, buffers| self.exchange_in(cx, id, args, ranges, user, (data, buffers)));
        match done.unwrap_or_else(|error| Err(error.into())) {
            Ok(()) => Ok(Status::OK),
            Err(error) => refuse(user, error),
        }
    }

    /// A call in buffers for `room` bytes of data.
    #[inline(always)]
    fn exchange_in(
        &self,
        cx: &mut Passive,
        id: u32,
        args: Args<'_>,
        ranges: &DataRanges,
        user: &mut impl UserRequest,
        (room, buffers): (usize, &mut [u8]),
    ) -> Result<(), RequestError> {
        let args_len = args.len();
        let data_at = args_len.next_multiple_of(8);
        let (message, output) = ranges.split(user, data_at, room, buffers)?;
        let (front, data) = message.split_at_mut_checked(data_at).ok_or_else(too_large)?;
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
        self.call_out(cx, ranges, user, Message { id, args: front, data }, output, Self::dispatch)
    }

    /// The last part of a call in either form: the handler, and one copy out with the answer.
    #[inline(always)]
    pub(in crate::host) fn call_out<'m>(
        &self,
        cx: &mut Passive,
        ranges: &DataRanges,
        user: &mut impl UserRequest,
        message: Message<'m>,
        output: &'m mut [u8],
        run: impl FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> crate::Result<()>,
    ) -> Result<(), RequestError> {
        let mut reply = Reply::new(output);
        self.inside(cx, ranges.nowait, |plugin, cx, session| run(plugin, cx, session, message, &mut reply))
            .map_err(|error| self.sanitize_error(error))?;
        Ok(user.reply(ranges.out_addr, written(reply, ranges.out_len)?)?)
    }

    /// What an app may see of a handler's error. The numbers that transports answer with are not a plugin's to give, and a sleep
    /// that ended because the device goes says so.
    #[cold]
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    pub(in crate::host) fn sanitize_error(&self, error: Error) -> Error {
        match error.status {
            Status::NO_MEMORY | Status::INTERRUPTED => error,
            Status::CLOSED => self.refusal_status().into(),
            Status::PROTOCOL | Status::NO_REPLY => Error::plugin(error.status.0),
            status if status.0 < 16 || status.row().is_none() => Error::plugin(status.0),
            _ => error,
        }
    }
}

/// Lengths were checked before: the compiler does not see it, and takes what it hears from here for unlikely.
#[cold]
#[inline(never)]
fn too_large() -> Status {
    Status::PAYLOAD_TOO_LARGE
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
            self.out_addr = user.output_range(self.out_addr, self.out_len)?;
        }
        Ok(())
    }

    /// A pair of buffers for `room` bytes of data each → `args` bytes and room for the data, and the room for the reply. All 8-aligned.
    #[inline(always)]
    pub(in crate::host) fn split<'b>(
        &self,
        user: &mut impl UserRequest,
        args: usize,
        room: usize,
        buffers: &'b mut [u8],
    ) -> Result<(&'b mut [u8], &'b mut [u8]), RequestError> {
        user.check_usercopy(buffers, (args + self.in_len).max(self.out_len));
        let halves = buffers.split_at_mut_checked(limits::MAX_ARGS + room);
        let (input, output) = halves.ok_or_else(too_large)?;
        match (input.get_mut(..args + self.in_len), output.get_mut(..self.out_len)) {
            (Some(input), Some(output)) => Ok((input, output)),
            _ => Err(too_large().into()),
        }
    }

    /// Do the buffers that every session has do?
    #[inline(always)]
    pub(in crate::host) fn is_small(&self) -> bool {
        is_small(self.in_len, self.out_len)
    }
}
