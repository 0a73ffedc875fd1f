//! The direct form of CALL, for messages that both sides have agreed on at OPEN.
//!
//! How long a message's fixed parts are follows from its declaration, so neither a struct nor lengths travel: the arguments are copied
//! from the app's buffer to the stack, and the reply back to their place. The checks and the answers are those of CALL.
#![deny(unsafe_code)]
use super::{
    buffers::{Buffers, InUse},
    outcome::{DirectResult, RequestError},
    requests::{Args, DataRanges, exchange},
    session::{MessageFn, Session},
    user_request::DirectUserRequest,
    written,
};
use crate::{
    Error, Message, Passive, Plugin, Reply, Result, Status,
    limits::{MAX_ARGS, MAX_FIXED_REPLY},
};
use core::{
    mem::MaybeUninit,
    sync::atomic::{Ordering::Acquire, fence},
};
use kp_abi::{
    Direct, Shape, TransportStatus,
    request::{Segments, feature},
    zerocopy::FromBytes,
};

impl<P: Plugin> Session<P> {
    /// Serves message `message` in the direct form. In the caller's context.
    #[inline(always)]
    pub fn direct(&self, cx: &mut Passive, message: u32, user: impl DirectUserRequest + Copy) -> DirectResult {
        if self.features() & feature::DIRECT == 0 {
            return not_agreed(self, &mut { user });
        }
        cx.in_session(&self.context, |cx| P::direct(message, DirectCall { session: self, cx, user, message }))
    }
}

/// OPEN has not agreed on direct calls, if there was an OPEN and the session lasts. A handle that may only read has none.
#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
fn not_agreed<P: Plugin>(session: &Session<P>, user: &mut impl DirectUserRequest) -> DirectResult {
    // Who took the features away has set the session's state before.
    fence(Acquire);
    if !user.is_read_write() {
        Err(TransportStatus::DENIED.status())
    } else if session.is_open() {
        Err(TransportStatus::UNKNOWN_REQUEST.status())
    } else {
        RequestError::from(session.refusal_status()).answer(user)
    }
}

/// The answer to a call whose handler, or the way to it, has failed.
#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
fn answer_error<P: Plugin>(session: &Session<P>, user: &mut impl DirectUserRequest, error: Error) -> DirectResult {
    RequestError::Answer(session.sanitize_error(error)).answer(user)
}

/// There is no such message. A session that may not call gets that answer first.
#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
fn unknown<P: Plugin>(session: &Session<P>, user: &mut impl DirectUserRequest) -> DirectResult {
    let error = session.enter(false).err().unwrap_or(Status::UNKNOWN_MESSAGE.into());
    answer_error(session, user, error)
}

/// A message with slices: data and reply have places of their own, the arguments are in the buffer.
#[inline(never)]
fn segments<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    user: &mut impl DirectUserRequest,
    id: u32,
    args: usize,
    run: impl MessageFn<P>,
) -> DirectResult {
    try_segments(session, cx, user, id, args, run).unwrap_or_else(|error| error.answer(user))
}

#[inline(always)]
fn try_segments<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    user: &mut impl DirectUserRequest,
    id: u32,
    args: usize,
    run: impl MessageFn<P>,
) -> core::result::Result<DirectResult, RequestError> {
    let mut buffer = [const { MaybeUninit::uninit() }; size_of::<Segments>() + MAX_ARGS];
    // More than that is no message: a plugin that writes `Plugin::direct` by hand may ask for it.
    let Some(buffer) = buffer.get_mut(..size_of::<Segments>().saturating_add(args)) else {
        return Err(Status::PAYLOAD_TOO_LARGE.into());
    };
    let buffer = user.copy_in(buffer)?;
    let Ok((segments, args)) = Segments::read_from_prefix(buffer) else { return Err(Status::TOO_SMALL.into()) };
    let mut ranges = DataRanges {
        in_len: segments.in_len as usize,
        out_len: segments.out_len as usize,
        in_addr: segments.in_addr,
        out_addr: segments.out_addr,
        nowait: false,
    };
    ranges.check_lengths()?;
    ranges.check_addresses(user, 0)?;
    if !session.is_open() {
        return Err(session.refusal_status().into());
    }
    if !Buffers::is_small(ranges.in_len, ranges.out_len) {
        return Ok(exchange(session, cx, id, Args::Here(args), &ranges, user));
    }
    let mut buffers = session.buffers.get_small(cx)?;
    small_segments(session, cx, (id, args), &ranges, user, &mut buffers, run)?;
    Ok(Ok(Status::OK))
}

/// A message whose data and reply fit the small buffers.
#[inline(always)]
fn small_segments<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    (id, args): (u32, &[u8]),
    ranges: &DataRanges,
    user: &mut impl DirectUserRequest,
    buffers: &mut InUse<'_>,
    run: impl MessageFn<P>,
) -> core::result::Result<(), RequestError> {
    let (data, room) = ranges.split(user, 0, buffers)?;
    if !data.is_empty() {
        user.copy_data_from_user(ranges.in_addr, data)?;
    }
    let mut reply = Reply::new(room);
    let inside = session.enter(false).map_err(|error| session.sanitize_error(error))?;
    inside.run(cx, run, Message { id, args, data }, &mut reply).map_err(|error| session.sanitize_error(error))?;
    // The gate is left by now: no user memory is touched inside.
    Ok(user.reply(ranges.out_addr, written(reply, ranges.out_len)?)?)
}

/// Stops the build of a plugin whose `Plugin::direct`, by hand or by a wrong `Wire::SCHEMA`, names more bytes than hosts have room for.
pub(super) const fn below_limits<const ARGS: usize, const REPLY: usize>() {
    assert!(ARGS <= MAX_ARGS, "a message's fixed parameters are over 256 bytes");
    assert!(REPLY <= MAX_FIXED_REPLY, "a reply of fixed size is over 256 bytes");
}

/// Stops the build of a plugin whose `Plugin::direct`, by hand, has another shape for a message than its interface: the app's buffer is as
/// long as the interface says, and the reply would be written past its end.
const fn as_declared<P: Plugin>(id: u32, args: usize, reply: usize) {
    let shape = match P::TABLE.interface {
        Some(interface) => match interface.method(id) {
            Some(method) => method.shape(),
            None => panic!("`direct` has a message that the plugin's interface has not"),
        },
        None => panic!("`direct` has a message, and the plugin has no interface"),
    };
    let same = matches!(shape, Shape::Fixed { args: its, reply: room } if its == args && room == reply);
    // Without a reply nothing is written there. An interface names its messages with segments so, and then does not come here with them.
    assert!(same || reply == 0, "`direct` has a message in another shape than the plugin's interface");
}

/// One direct call. Its user request is copied for what is not inlined, so that its fields stay in registers until then.
struct DirectCall<'s, P: Plugin, D> {
    session: &'s Session<P>,
    cx: &'s mut Passive,
    user: D,
    message: u32,
}

impl<P: Plugin, D: DirectUserRequest + Copy> Direct for DirectCall<'_, P, D> {
    type Handler = P;
    type Context = Passive;
    type Session = P::Session;
    type Answer = DirectResult;

    #[inline(always)]
    fn fixed<const ID: u32, const ARGS: usize, const REPLY: usize>(
        self,
        run: impl for<'m> FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> Result<()>,
    ) -> DirectResult {
        const { below_limits::<ARGS, REPLY>() };
        const { as_declared::<P>(ID, ARGS, REPLY) };
        let Self { session, cx, mut user, message } = self;
        // Never, where an interface has matched the message's number.
        if message != ID {
            return unknown(session, &mut { user });
        }
        let mut args = [const { MaybeUninit::uninit() }; ARGS];
        let args: &[u8] = if ARGS == 0 {
            &[]
        } else {
            match user.copy_in(&mut args) {
                Ok(args) => args,
                Err(_) => return Err(TransportStatus::FAULT.status()),
            }
        };
        let mut room = [0; REPLY];
        let mut reply = Reply::new(&mut room);
        let message = Message { id: message, args, data: &[] };
        let ran = session.enter(false).and_then(|inside| inside.run(cx, run, message, &mut reply));
        if let Err(error) = ran {
            return answer_error(session, &mut { user }, error);
        }
        let bytes = match written(reply, REPLY) {
            Ok(bytes) => bytes,
            Err(error) => return answer_error(session, &mut { user }, error),
        };
        if REPLY != 0 && user.copy_out(bytes).is_err() {
            return Err(TransportStatus::FAULT.status());
        }
        Ok(Status::OK)
    }

    #[inline(always)]
    fn segments(
        self,
        args: usize,
        run: impl for<'m> FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> Result<()>,
    ) -> DirectResult {
        segments(self.session, self.cx, &mut { self.user }, self.message, args, run)
    }

    #[inline(always)]
    fn unknown(self) -> DirectResult {
        unknown(self.session, &mut { self.user })
    }
}
