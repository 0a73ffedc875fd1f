//! Requests, from the app's bytes to the app's bytes: the size rule, the checks of each field, the answer. One code for every
//! kernel; a port brings the [`Door`].
use super::{
    door::{Door, Faulted},
    interrupt::Wanted,
    kernel,
    session::{SMALL, Session},
};
use crate::{Error, Message, Passive, Plugin, Reply, Status, limits};
use core::sync::atomic::Ordering::Relaxed;
use kp_abi::{
    request::{self, CALL_NOWAIT, Request, feature, kind, state},
    zerocopy::{FromZeros, IntoBytes},
};

/// A request was served: what the transport answers. `Ok`: the status is in the header.
pub type Served = Result<(), Status>;

/// Why a request goes no further.
pub(super) enum Stopped {
    /// The header can carry it.
    Answer(Error),
    /// It cannot: the transport fails.
    Transport(Status),
}
impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Stopped::Answer(error)
    }
}
impl From<Status> for Stopped {
    fn from(status: Status) -> Self {
        Stopped::Answer(status.into())
    }
}
impl From<Faulted> for Stopped {
    fn from(_: Faulted) -> Self {
        Stopped::Transport(Status::FAULT)
    }
}

/// What poll(2) and its like report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// A wait would return with a notification.
    pub notification: bool,
    /// The session is closed or its device gone.
    pub over: bool,
}

/// A request's struct, copied, and as much of it as the app knows.
pub(super) struct Taken<R> {
    pub(super) request: R,
    known: usize,
}

impl<P: Plugin> Session<P> {
    /// Serves request `nr`. `Err`: the transport's own answer; everything else is in the request's head. Passive, in the caller's
    /// context.
    #[inline]
    pub fn request(&self, nr: u32, door: &mut impl Door) -> Served {
        match nr {
            request::Call::NR => self.serve_call(door),
            _ => self.serve_other(nr, door),
        }
    }

    #[inline(never)]
    fn serve_other(&self, nr: u32, door: &mut impl Door) -> Served {
        match nr {
            request::Query::NR => self.serve(door, |query, door| self.query(query, door)),
            request::Open::NR => self.serve(door, |open, door| self.request_open(open, door)),
            request::Close::NR => self.serve(door, |_: &mut request::Close, _| Ok(self.close()?)),
            request::IntEnable::NR => self.serve(door, |enable, door| self.request_enable(enable, door)),
            request::IntWait::NR => self.serve_wait(door),
            request::IntCount::NR => self.serve(door, |count, _| self.request_count(count)),
            request::IntDisable::NR => self.serve(door, |disable, _| self.request_disable(disable)),
            request::RingSetup::NR => self.serve(door, |setup, _| self.request_ring_setup(setup)),
            request::RingEnter::NR => self.serve(door, |enter, _| self.request_ring_enter(enter)),
            request::RingTeardown::NR => {
                self.serve(door, |_: &mut request::RingTeardown, _| self.request_ring_teardown())
            }
            _ => Err(Status::UNKNOWN_REQUEST),
        }
    }

    /// What poll(2) says. Passive.
    pub fn readiness(&self) -> Readiness {
        Readiness {
            notification: self.driver.interrupts.has_mail(self),
            over: kernel::poisoned() || self.driver.state() == state::GONE || self.is_closed(),
        }
    }

    /// Serves one request whose answer is its own struct.
    fn serve<R: Request, D: Door>(
        &self,
        door: &mut D,
        f: impl FnOnce(&mut R, &mut D) -> Result<(), Stopped>,
    ) -> Served {
        let mut taken = match take::<R>(door, 0) {
            Ok(taken) => taken,
            Err(stopped) => return refuse(door, stopped),
        };
        match f(&mut taken.request, door) {
            Ok(()) => finish(door, &mut taken, Status::OK.into()),
            Err(Stopped::Answer(error)) => finish(door, &mut taken, error),
            Err(Stopped::Transport(status)) => Err(status),
        }
    }

    /// QUERY.
    fn query(&self, query: &mut request::Query, door: &mut impl Door) -> Result<(), Stopped> {
        let table = &P::TABLE;
        if query.reserved != 0 {
            return Err(Status::BAD_FIELD.into());
        }
        query.state = if kernel::poisoned() { state::POISONED } else { self.driver.state() };
        query.abi_major = limits::ABI_MAJOR;
        query.abi_minor = limits::ABI_MINOR;
        query.features = features::<P>(door);
        query.message_count = table.interface.map_or(0, |interface| interface.methods.len() as u32);
        query.interface_version = table.interface.map_or(0, |interface| interface.version);
        query.chain = chain::<P>(query.chain_at);
        query.bus_address = self.driver.bus_address;
        query.max_data = limits::MAX_DATA as u32;
        query.max_open_data = limits::MAX_OPEN_DATA as u32;
        query.max_sessions = limits::MAX_SESSIONS;
        query.max_calls = limits::MAX_CALLS;
        query.max_waits = limits::MAX_WAITS;
        query.max_args = limits::MAX_ARGS as u32;
        query.name = [0; 32];
        query.name[..table.name.len()].copy_from_slice(table.name.as_bytes());
        query.sessions = self.driver.open_sessions.load(Relaxed);
        query.calls = self.calls_inside();
        query.waits = self.waker.waits();
        let rings = query.features & feature::RING != 0;
        (query.max_ring_entries, query.max_ring_memory) =
            if rings { (limits::MAX_RING_ENTRIES, limits::MAX_RING_MEMORY as u32) } else { (0, 0) };
        Ok(())
    }

    /// OPEN: does the app fit? Then the plugin's `open`.
    fn request_open(&self, open: &mut request::Open, door: &mut impl Door) -> Result<(), Stopped> {
        if open.reserved != 0 {
            return Err(Status::BAD_FIELD.into());
        }
        let mut data = SmallBuffer::new();
        let data = self.fetch_small(door, open.head.size, open.data_addr, open.data_len, &mut data)?;
        let app = *open;
        let known = app.message_count.min(chain_len::<P>());
        open.abi_major = limits::ABI_MAJOR;
        open.abi_minor = limits::ABI_MINOR;
        open.features = 0;
        open.message_count = chain_len::<P>();
        open.interface_version = P::TABLE.interface.map_or(0, |interface| interface.version);
        open.fingerprint = chain::<P>(known);
        if app.abi_major != limits::ABI_MAJOR {
            return Err(Error::new(Status::ABI_MISMATCH, limits::ABI_MAJOR << 16 | limits::ABI_MINOR).into());
        }
        let spoken = app.abi_minor.min(limits::ABI_MINOR);
        open.abi_minor = spoken;
        if app.message_count > chain_len::<P>() || app.fingerprint != open.fingerprint {
            return Err(Status::INTERFACE_MISMATCH.into());
        }
        open.features = if spoken >= 1 { app.features & features::<P>(door) } else { 0 };
        open.session = self.open(data, open.features)?;
        Ok(())
    }

    /// INT_ENABLE.
    fn request_enable(&self, enable: &mut request::IntEnable, door: &mut impl Door) -> Result<(), Stopped> {
        let kinds = enable.kinds;
        let fits = kinds != 0
            && kinds & !kind::ANY == 0
            && enable.min >= 1
            && enable.min <= enable.max
            && enable.max <= limits::MAX_VECTORS;
        if !fits {
            return Err(Status::BAD_FIELD.into());
        }
        if !self.is_open() {
            return Err(self.refusal().into());
        }
        let mut data = SmallBuffer::new();
        let data = self.fetch_small(door, enable.head.size, enable.data_addr, enable.data_len, &mut data)?;
        self.driver.awake(false)?;
        let _pass = self.enter()?;
        let wanted = Wanted { kinds, min: enable.min, max: enable.max, data };
        let enabled = self.driver.interrupts.enable(&self.driver, self, wanted)?;
        enable.kind = enabled.kind;
        enable.count = enabled.count;
        enable.generation = enabled.generation;
        Ok(())
    }

    /// INT_DISABLE.
    fn request_disable(&self, disable: &mut request::IntDisable) -> Result<(), Stopped> {
        self.driver.awake(false)?;
        let _pass = self.enter()?;
        let disabled = self.driver.interrupts.disable(&self.driver, self);
        let (generation, counters) = disabled.map_err(|error| self.why_disabled(error))?;
        disable.generation = generation;
        disable.counters = counters;
        Ok(())
    }

    /// INT_COUNT.
    fn request_count(&self, count: &mut request::IntCount) -> Result<(), Stopped> {
        if count.reserved != 0 {
            return Err(Status::BAD_FIELD.into());
        }
        if !self.is_open() || kernel::poisoned() || self.driver.state() == state::GONE {
            return Err(self.refusal().into());
        }
        let (generation, counters) = self.driver.interrupts.counters(count.vector)?;
        count.generation = generation;
        count.counters = counters;
        Ok(())
    }

    /// CALL: one copy in, the handler, one copy out with the answer.
    #[inline]
    fn serve_call(&self, door: &mut impl Door) -> Served {
        let mut call = request::Call::new_zeroed();
        if let Err(stopped) = take_into(door, CALL_NOWAIT, &mut call) {
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
            self.small.with(|buffers| self.call_in::<SMALL>(call, parts, door, buffers))?
        } else {
            self.call_large(call, parts, door)
        }
    }

    #[inline(never)]
    fn call_large(&self, call: &request::Call, parts: Parts, door: &mut impl Door) -> Result<(), Stopped> {
        self.large.with(|buffers| self.call_in::<{ limits::MAX_DATA }>(call, parts, door, buffers))?
    }

    /// The call itself, in a pair of buffers for `DATA` bytes.
    #[inline(always)]
    fn call_in<const DATA: usize>(
        &self,
        call: &request::Call,
        parts: Parts,
        door: &mut impl Door,
        buffers: &mut [u8],
    ) -> Result<(), Stopped> {
        let (args_len, data_at) = (call.args_len as usize, (call.args_len as usize).next_multiple_of(8));
        let (message, output) = parts.split::<DATA>(door, data_at, buffers)?;
        let data_len = parts.in_len;
        if data_len != 0 && args_len != 0 && parts.in_addr == call.args_addr.wrapping_add(data_at as u64) {
            door.fetch_data(call.args_addr, message)?;
        } else {
            if args_len != 0 {
                door.fetch_data(call.args_addr, &mut message[..args_len])?;
            }
            if data_len != 0 {
                door.fetch_data(parts.in_addr, &mut message[data_at..])?;
            }
        }
        let (args, data) = message.split_at(data_at);
        let message = Message { id: call.message, args: &args[..args_len], data };
        self.call_out(&parts, door, message, output)
    }

    /// The last part of a call in either form: the handler, and one copy out with the answer.
    #[inline(always)]
    pub(super) fn call_out<'m>(
        &self,
        parts: &Parts,
        door: &mut impl Door,
        message: Message<'m>,
        output: &'m mut [u8],
    ) -> Result<(), Stopped> {
        let mut reply = Reply::new(output);
        self.call(parts.nowait, message, &mut reply).map_err(|error| self.public(error))?;
        Ok(door.reply(parts.out_addr, reply.into_bytes())?)
    }

    /// What an app may see of a handler's error. The numbers that transports answer with are not a plugin's to give, and a sleep
    /// that ended because the device goes says so.
    #[cold]
    pub(super) fn public(&self, error: Error) -> Error {
        match error.status {
            Status::NO_MEMORY | Status::INTERRUPTED => error,
            Status::CLOSED => self.refusal().into(),
            Status::PROTOCOL | Status::NO_REPLY => Error::plugin(error.status.0),
            status if status.0 < 16 || status.row().is_none() => Error::plugin(status.0),
            _ => error,
        }
    }

    /// Copies the data of OPEN or INT_ENABLE. `size` is the struct's: inline data follows it.
    fn fetch_small<'b>(
        &self,
        door: &mut impl Door,
        size: u32,
        address: u64,
        len: u32,
        buffer: &'b mut SmallBuffer,
    ) -> Result<&'b [u8], Stopped> {
        let len = len as usize;
        if len == 0 {
            return Ok(&[]);
        }
        if len > limits::MAX_OPEN_DATA {
            return Err(Status::PAYLOAD_TOO_LARGE.into());
        }
        let address = door.input(address, size as usize, len)?;
        let bytes = buffer.room(len)?;
        door.fetch(address, bytes)?;
        Ok(bytes)
    }
}

/// Where a call's data is, and the room for its reply.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) in_len: usize,
    pub(super) out_len: usize,
    pub(super) in_addr: u64,
    pub(super) out_addr: u64,
    pub(super) nowait: bool,
}

impl Parts {
    #[inline(always)]
    pub(super) fn check_lengths(&self) -> Result<(), Stopped> {
        if self.in_len > limits::MAX_DATA || self.out_len > limits::MAX_DATA {
            return Err(Status::PAYLOAD_TOO_LARGE.into());
        }
        Ok(())
    }

    /// Could these be the app's? `inline` is where data stands in a request that carries it itself.
    #[inline(always)]
    pub(super) fn check_addresses(&mut self, door: &impl Door, inline: usize) -> Result<(), Stopped> {
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
    pub(super) fn split<'b, const DATA: usize>(
        &self,
        door: &mut impl Door,
        args: usize,
        buffers: &'b mut [u8],
    ) -> Result<(&'b mut [u8], &'b mut [u8]), Stopped> {
        door.vouch(buffers, (args + self.in_len).max(self.out_len));
        let (input, output) = buffers.split_at_mut(limits::MAX_ARGS + DATA);
        match (input.get_mut(..args + self.in_len), output.get_mut(..self.out_len)) {
            (Some(input), Some(output)) => Ok((input, output)),
            _ => Err(Status::PAYLOAD_TOO_LARGE.into()),
        }
    }

    /// Do the buffers that every session has do?
    #[inline(always)]
    pub(super) fn is_small(&self) -> bool {
        self.in_len <= SMALL && self.out_len <= SMALL
    }
}

/// The data of OPEN or INT_ENABLE: 8-aligned.
struct SmallBuffer(Option<crate::KVec<u64>>);

impl SmallBuffer {
    fn new() -> Self {
        Self(None)
    }

    fn room(&mut self, len: usize) -> Result<&mut [u8], Error> {
        // SAFETY: a request runs at Passive; nothing else in this function holds a level.
        let mut cx = unsafe { Passive::assume() };
        let words = crate::KVec::zeroed(&mut cx, len.div_ceil(8))?;
        Ok(&mut self.0.insert(words).as_mut_bytes()[..len])
    }
}

/// Optional parts of the ABI that this driver has: the direct form is for messages that an interface describes.
fn features<P: Plugin>(door: &impl Door) -> u64 {
    let ring = if kernel::shares() { feature::RING } else { 0 };
    let direct = if P::TABLE.interface.is_some() && door.is_direct() { feature::DIRECT } else { 0 };
    ring | direct
}

/// Messages of the plugin's interface.
fn chain_len<P: Plugin>() -> u32 {
    P::TABLE.interface.map_or(0, |interface| interface.methods.len() as u32)
}

/// The fingerprint chain at `count`, or at the last message if there are fewer.
fn chain<P: Plugin>(count: u32) -> u64 {
    P::TABLE.interface.map_or(0, |interface| interface.chain((count as usize).min(interface.methods.len())))
}

/// Copies a request's struct.
pub(super) fn take<R: Request>(door: &mut impl Door, flags: u32) -> Result<Taken<R>, Stopped> {
    let mut request = R::new_zeroed();
    take_into(door, flags, &mut request)?;
    let known = size_of::<R>().min(request.head().size as usize);
    Ok(Taken { request, known })
}

/// Copies a request's struct: one copy of its first version, and the rest only if the app has more.
#[inline(always)]
fn take_into<R: Request>(door: &mut impl Door, flags: u32, request: &mut R) -> Result<(), Stopped> {
    if door.take(&mut request.as_mut_bytes()[..R::FIRST_SIZE]).is_err() {
        return Err(short_or_fault::<R>(door));
    }
    let size = request.head().size as usize;
    if size != R::FIRST_SIZE {
        take_rest(door, request, size)?;
    }
    if request.head().flags & !flags != 0 {
        return Err(Status::UNKNOWN_FLAG.into());
    }
    let only_reads = matches!(R::NR, request::Query::NR | request::IntCount::NR);
    if !only_reads && !door.is_read_write() {
        return Err(Stopped::Transport(Status::DENIED));
    }
    Ok(())
}

/// The struct could not be copied. Was it too short, or is its address bad?
#[cold]
fn short_or_fault<R: Request>(door: &mut impl Door) -> Stopped {
    match door.size() {
        Ok(size) if (size as usize) < R::FIRST_SIZE => Stopped::Answer(Status::TOO_SMALL.into()),
        _ => Stopped::Transport(Status::FAULT),
    }
}

#[cold]
fn take_rest<R: Request>(door: &mut impl Door, request: &mut R, size: usize) -> Result<(), Stopped> {
    if size < R::FIRST_SIZE {
        return Err(Status::TOO_SMALL.into());
    }
    if size > limits::MAX_REQUEST {
        return Err(Status::TOO_LARGE.into());
    }
    let known = size_of::<R>().min(size);
    if known > R::FIRST_SIZE {
        door.tail(R::FIRST_SIZE, &mut request.as_mut_bytes()[R::FIRST_SIZE..known])?;
    }
    let mut at = known;
    while at < size {
        let mut chunk = [0u8; 64];
        let part = &mut chunk[..(size - at).min(64)];
        door.tail(at, part)?;
        if part.iter().any(|&byte| byte != 0) {
            return Err(Status::UNKNOWN_TAIL.into());
        }
        at += part.len();
    }
    Ok(())
}

/// Writes the answer: status, detail, and as much of the struct as the app knows.
fn finish<R: Request>(door: &mut impl Door, taken: &mut Taken<R>, error: Error) -> Served {
    let head = taken.request.head();
    head.status = error.status.0;
    head.detail = error.detail;
    door.put(8, &taken.request.as_bytes()[8..taken.known]).map_err(|Faulted| Status::FAULT)
}

/// Writes the answer of a request that goes no further.
#[cold]
pub(super) fn refuse(door: &mut impl Door, stopped: Stopped) -> Served {
    match stopped {
        Stopped::Answer(error) if error == Status::INTERRUPTED => Err(Status::INTERRUPTED),
        Stopped::Answer(error) => door.answer(error.status.0, error.detail).map_err(|Faulted| Status::FAULT),
        Stopped::Transport(status) => Err(status),
    }
}
