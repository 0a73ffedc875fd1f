//! CALL: its lengths and addresses, the buffers that it runs in, the handler, the reply.
use super::{
    super::{
        door::Door,
        session::{SMALL, Session},
    },
    Served, Stopped, refuse,
    shape::{Shape, take_into},
};
use crate::{Error, Message, Passive, Plugin, Reply, Status, limits};
use kp_abi::{
    request::{self, CALL_NOWAIT},
    zerocopy::{FromZeros, IntoBytes},
};

impl<P: Plugin> Session<P> {
    /// CALL: one copy in, the handler, one copy out with the answer.
    #[inline]
    pub(super) fn serve_call(&self, door: &mut impl Door) -> Served {
        let mut call = request::Call::new_zeroed();
        if let Err(stopped) = take_into(door, Shape::of::<request::Call>(), CALL_NOWAIT, call.as_mut_bytes()) {
            return refuse(door, stopped);
        }
        match self.request_call(&mut call, door) {
            Ok(()) => Ok(()),
            Err(stopped) => refuse(door, stopped),
        }
    }

    #[inline(always)]
    fn request_call(&self, call: &mut request::Call, door: &mut impl Door) -> Result<(), Stopped> {
        let (args, data) = (call.args_len as usize, call.in_len as usize);
        if args > limits::MAX_ARGS {
            return Err(Status::PAYLOAD_TOO_LARGE.into());
        }
        let mut parts = Parts {
            in_len: data,
            out_len: call.out_len as usize,
            in_addr: call.in_addr,
            out_addr: call.out_addr,
            nowait: call.head.flags & CALL_NOWAIT != 0,
        };
        parts.check_lengths()?;
        let args_at = call.head.size as usize;
        if args != 0 {
            call.args_addr = door.input(call.args_addr, args_at, args)?;
        }
        parts.check_addresses(door, args_at + args.next_multiple_of(8))?;
        if !self.is_open() {
            return Err(self.refusal().into());
        }
        if parts.is_small() {
            self.small.with(|buffers| self.call_in(call, parts, door, buffers))?
        } else {
            self.call_large(call, parts, door)
        }
    }

    /// A call for which the buffers that every session has are too small. It may take a little longer: what it moves does.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn call_large(&self, call: &request::Call, parts: Parts, door: &mut impl Door) -> Result<(), Stopped> {
        let mut args = [0u64; limits::MAX_ARGS / 8];
        let args = args.as_mut_bytes().get_mut(..call.args_len as usize).ok_or(Status::PAYLOAD_TOO_LARGE)?;
        if !args.is_empty() {
            door.fetch(call.args_addr, args)?;
        }
        self.segments_large(call.message, args, parts, door)
    }

    /// The call itself, in a pair of small buffers.
    #[inline(always)]
    fn call_in(
        &self,
        call: &request::Call,
        parts: Parts,
        door: &mut impl Door,
        buffers: &mut [u8],
    ) -> Result<(), Stopped> {
        let (args_len, data_at) = (call.args_len as usize, (call.args_len as usize).next_multiple_of(8));
        let (message, output) = parts.split::<SMALL>(door, data_at, buffers)?;
        let data_len = parts.in_len;
        if data_len != 0 && args_len != 0 && parts.in_addr == call.args_addr.wrapping_add(data_at as u64) {
            door.fetch_data(call.args_addr, message)?;
        } else {
            if args_len != 0 {
                door.fetch_data(call.args_addr, message.get_mut(..args_len).ok_or_else(too_large)?)?;
            }
            if data_len != 0 {
                door.fetch_data(parts.in_addr, message.get_mut(data_at..).ok_or_else(too_large)?)?;
            }
        }
        let args = message.get(..args_len).ok_or_else(too_large)?;
        let data = message.get(data_at..).ok_or_else(too_large)?;
        let message = Message { id: call.message, args, data };
        self.call_out(&parts, door, message, output, Self::dispatch)
    }

    /// The last part of a call in either form: the handler, and one copy out with the answer.
    #[inline(always)]
    pub(in crate::host) fn call_out<'m>(
        &self,
        parts: &Parts,
        door: &mut impl Door,
        message: Message<'m>,
        output: &'m mut [u8],
        run: impl FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> crate::Result<()>,
    ) -> Result<(), Stopped> {
        let mut reply = Reply::new(output);
        self.inside(parts.nowait, |plugin, cx, session| run(plugin, cx, session, message, &mut reply))
            .map_err(|error| self.public(error))?;
        Ok(door.reply(parts.out_addr, reply.into_bytes())?)
    }

    /// What an app may see of a handler's error. The numbers that transports answer with are not a plugin's to give, and a sleep
    /// that ended because the device goes says so.
    #[cold]
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    pub(in crate::host) fn public(&self, error: Error) -> Error {
        match error.status {
            Status::NO_MEMORY | Status::INTERRUPTED => error,
            Status::CLOSED => self.refusal().into(),
            Status::PROTOCOL | Status::NO_REPLY => Error::plugin(error.status.0),
            status if status.0 < 16 || status.row().is_none() => Error::plugin(status.0),
            _ => error,
        }
    }
}

/// Lengths were checked before: the compiler does not see it, and takes what it hears from here for unlikely.
#[cold]
#[inline(never)]
fn too_large() -> Stopped {
    Status::PAYLOAD_TOO_LARGE.into()
}

/// Where a call's data is, and the room for its reply.
#[derive(Clone, Copy)]
pub(in crate::host) struct Parts {
    pub(in crate::host) in_len: usize,
    pub(in crate::host) out_len: usize,
    pub(in crate::host) in_addr: u64,
    pub(in crate::host) out_addr: u64,
    pub(in crate::host) nowait: bool,
}

impl Parts {
    #[inline(always)]
    pub(in crate::host) fn check_lengths(&self) -> Result<(), Stopped> {
        if self.in_len > limits::MAX_DATA || self.out_len > limits::MAX_DATA {
            return Err(Status::PAYLOAD_TOO_LARGE.into());
        }
        Ok(())
    }

    /// Could these be the app's? `inline` is where data stands in a request that carries it itself.
    #[inline(always)]
    pub(in crate::host) fn check_addresses(&mut self, door: &impl Door, inline: usize) -> Result<(), Stopped> {
        if self.in_len != 0 {
            self.in_addr = door.input(self.in_addr, inline, self.in_len)?;
        }
        if self.out_len != 0 {
            self.out_addr = door.output(self.out_addr, self.out_len)?;
        }
        Ok(())
    }

    /// A pair of buffers for `DATA` bytes → `args` bytes and room for the data, and the room for the reply. All 8-aligned.
    #[inline(always)]
    pub(in crate::host) fn split<'b, const DATA: usize>(
        &self,
        door: &mut impl Door,
        args: usize,
        buffers: &'b mut [u8],
    ) -> Result<(&'b mut [u8], &'b mut [u8]), Stopped> {
        door.vouch(buffers, (args + self.in_len).max(self.out_len));
        let halves = buffers.split_at_mut_checked(limits::MAX_ARGS + DATA);
        let (input, output) = halves.ok_or_else(too_large)?;
        match (input.get_mut(..args + self.in_len), output.get_mut(..self.out_len)) {
            (Some(input), Some(output)) => Ok((input, output)),
            _ => Err(too_large()),
        }
    }

    /// Do the buffers that every session has do?
    #[inline(always)]
    pub(in crate::host) fn is_small(&self) -> bool {
        self.in_len <= SMALL && self.out_len <= SMALL
    }
}
