//! Requests, from the app's bytes to the app's bytes: the size rule, the checks of each field, the answer. One code for every
//! kernel; a port brings the [`Door`].
use super::{
    door::{Door, Faulted},
    interrupt::Wanted,
    kernel,
    session::{SMALL, Session},
};
use crate::{Error, Message, Passive, Plugin, Reply, Status, limits};
use core::{mem::offset_of, sync::atomic::Ordering::Relaxed};
use kp_abi::{
    Counters,
    request::{self, ANY_VECTOR, CALL_NOWAIT, Head, Request, feature, kind, state},
    zerocopy::{self, FromBytes, FromZeros, IntoBytes, KnownLayout},
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

    /// All but CALL. One code takes and answers them, whatever their structs: they are rare, and there are many.
    #[inline(never)]
    #[cfg_attr(kp_driver, optimize(size))]
    fn serve_other(&self, nr: u32, door: &mut impl Door) -> Served {
        if nr == request::IntWait::NR {
            return self.serve_wait(door);
        }
        let Some(shape) = Shape::of_number(nr) else { return Err(Status::UNKNOWN_REQUEST) };
        let mut space = Space([0; LONGEST]);
        let answered = match take_bytes(door, shape, space.0.as_mut_bytes()) {
            Ok(()) => self.answer(nr, &mut space, door),
            Err(stopped) => return refuse(door, stopped),
        };
        let error = match answered {
            Ok(()) => Status::OK.into(),
            Err(Stopped::Answer(error)) => error,
            Err(Stopped::Transport(status)) => return Err(status),
        };
        let head = space.view::<Head>();
        (head.status, head.detail) = (error.status.0, error.detail);
        let known = shape.size.min(head.size as usize);
        let answer = space.0.as_bytes().get(STATUS_AT..known).unwrap_or(&[]);
        door.put(STATUS_AT, answer).map_err(|Faulted| Status::FAULT)
    }

    /// Fills in the answer of a request whose struct is in `space`.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn answer(&self, nr: u32, space: &mut Space, door: &mut impl Door) -> Result<(), Stopped> {
        match nr {
            request::Query::NR => self.query(space.view(), door),
            request::Open::NR => self.request_open(space.view(), door),
            request::Close::NR => Ok(self.close()?),
            request::IntEnable::NR => self.request_enable(space.view(), door),
            request::IntCount::NR => self.request_count(space.view()),
            request::IntDisable::NR => self.request_disable(space.view()),
            request::RingSetup::NR => self.request_ring_setup(space.view()),
            request::RingEnter::NR => self.request_ring_enter(space.view()),
            _ => self.request_ring_teardown(),
        }
    }

    /// What poll(2) says. Passive.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn readiness(&self) -> Readiness {
        Readiness {
            notification: self.driver.interrupts().is_some_and(|interrupts| interrupts.has_mail(self)),
            over: kernel::poisoned() || self.driver.state() == state::GONE || self.is_closed(),
        }
    }

    /// What QUERY answers always.
    const QUERY: request::Query = {
        let mut query: request::Query = zerocopy::transmute!([0u64; size_of::<request::Query>() / 8]);
        query.abi_major = limits::ABI_MAJOR;
        query.abi_minor = limits::ABI_MINOR;
        query.message_count = chain_len::<P>();
        query.interface_version = interface_version::<P>();
        query.max_data = limits::MAX_DATA as u32;
        query.max_open_data = limits::MAX_OPEN_DATA as u32;
        query.max_sessions = limits::MAX_SESSIONS;
        query.max_calls = limits::MAX_CALLS;
        query.max_waits = limits::MAX_WAITS;
        query.max_args = limits::MAX_ARGS as u32;
        let name = P::TABLE.name.as_bytes();
        let mut i = 0;
        while i < name.len() {
            query.name[i] = name[i];
            i += 1;
        }
        query
    };

    /// QUERY.
    #[cfg_attr(kp_driver, optimize(size))]
    fn query(&self, query: &mut request::Query, door: &mut impl Door) -> Result<(), Stopped> {
        if query.reserved != 0 {
            return Err(Status::BAD_FIELD.into());
        }
        *query = request::Query { head: query.head, chain_at: query.chain_at, ..Self::QUERY };
        query.state = if kernel::poisoned() { state::POISONED } else { self.driver.state() };
        query.features = features::<P>(door);
        query.chain = chain::<P>(query.chain_at);
        query.bus_address = self.driver.bus_address;
        query.sessions = self.driver.open_sessions.load(Relaxed);
        query.calls = self.calls_inside();
        query.waits = self.waker.waits();
        if query.features & feature::RING != 0 {
            (query.max_ring_entries, query.max_ring_memory) =
                (limits::MAX_RING_ENTRIES, limits::MAX_RING_MEMORY as u32);
        }
        Ok(())
    }

    /// OPEN: does the app fit? Then the plugin's `open`.
    #[cfg_attr(kp_driver, optimize(size))]
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
        open.interface_version = interface_version::<P>();
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
    #[cfg_attr(kp_driver, optimize(size))]
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
        let interrupts = self.driver.interrupts().ok_or(Status::NO_INTERRUPT)?;
        let enabled = interrupts.enable(&self.driver, self, wanted)?;
        enable.kind = enabled.kind;
        enable.count = enabled.count;
        enable.generation = enabled.generation;
        Ok(())
    }

    /// INT_DISABLE.
    #[cfg_attr(kp_driver, optimize(size))]
    fn request_disable(&self, disable: &mut request::IntDisable) -> Result<(), Stopped> {
        self.driver.awake(false)?;
        let _pass = self.enter()?;
        let disabled = match self.driver.interrupts() {
            Some(interrupts) => interrupts.disable(&self.driver, self),
            None => Err(Status::NOT_ENABLED.into()),
        };
        let (generation, counters) = disabled.map_err(|error| self.why_disabled(error))?;
        disable.generation = generation;
        disable.counters = counters;
        Ok(())
    }

    /// INT_COUNT.
    #[cfg_attr(kp_driver, optimize(size))]
    fn request_count(&self, count: &mut request::IntCount) -> Result<(), Stopped> {
        if count.reserved != 0 {
            return Err(Status::BAD_FIELD.into());
        }
        if !self.is_open() || kernel::poisoned() || self.driver.state() == state::GONE {
            return Err(self.refusal().into());
        }
        let (generation, counters) = match self.driver.interrupts() {
            Some(interrupts) => interrupts.counters(count.vector)?,
            None if count.vector == ANY_VECTOR => (0, Counters::default()),
            None => return Err(Status::BAD_VECTOR.into()),
        };
        count.generation = generation;
        count.counters = counters;
        Ok(())
    }

    /// CALL: one copy in, the handler, one copy out with the answer.
    #[inline]
    fn serve_call(&self, door: &mut impl Door) -> Served {
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
            self.small.with(|buffers| self.call_in::<SMALL>(call, parts, door, buffers))?
        } else {
            self.call_large(call, parts, door)
        }
    }

    #[cfg_attr(kp_driver, optimize(size))]
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
    #[cfg_attr(kp_driver, optimize(size))]
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
    #[cfg_attr(kp_driver, optimize(size))]
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

    #[cfg_attr(kp_driver, optimize(size))]
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
const fn chain_len<P: Plugin>() -> u32 {
    match P::TABLE.interface {
        Some(interface) => interface.methods.len() as u32,
        None => 0,
    }
}

/// The interface's version, for people.
const fn interface_version<P: Plugin>() -> u32 {
    match P::TABLE.interface {
        Some(interface) => interface.version,
        None => 0,
    }
}

/// The fingerprint chain at `count`, or at the last message if there are fewer.
fn chain<P: Plugin>(count: u32) -> u64 {
    let chain = P::TABLE.chain;
    let at = (count as usize).min(chain.len().saturating_sub(1));
    chain.get(super::clamp(at, chain.len())).copied().unwrap_or(0)
}

/// Offset of the status in a request's head.
const STATUS_AT: usize = offset_of!(Head, status);
/// The longest struct of all but CALL, in words.
const LONGEST: usize = size_of::<request::Query>() / 8;

/// Where a request's struct is while it is served, whichever it is.
struct Space([u64; LONGEST]);

impl Space {
    /// The struct.
    fn view<R: FromBytes + IntoBytes + KnownLayout>(&mut self) -> &mut R {
        const { assert!(size_of::<R>() <= 8 * LONGEST && align_of::<R>() <= 8, "LONGEST is the longest") };
        match R::mut_from_prefix(self.0.as_mut_bytes()) {
            Ok((request, _)) => request,
            Err(_) => unreachable!("it is as long, and as aligned"),
        }
    }
}

/// What the size rule and the access rule must know of a request's struct.
#[derive(Clone, Copy)]
struct Shape {
    /// Size of its first version, in bytes.
    first: usize,
    /// Its size, in bytes.
    size: usize,
    /// A handle that may only read may ask.
    only_reads: bool,
}

impl Shape {
    const fn of<R: Request>() -> Self {
        let only_reads = matches!(R::NR, request::Query::NR | request::IntCount::NR);
        Self { first: R::FIRST_SIZE, size: size_of::<R>(), only_reads }
    }

    /// None: there is no such request.
    const fn of_number(nr: u32) -> Option<Self> {
        Some(match nr {
            request::Query::NR => Self::of::<request::Query>(),
            request::Open::NR => Self::of::<request::Open>(),
            request::Close::NR => Self::of::<request::Close>(),
            request::IntEnable::NR => Self::of::<request::IntEnable>(),
            request::IntCount::NR => Self::of::<request::IntCount>(),
            request::IntDisable::NR => Self::of::<request::IntDisable>(),
            request::RingSetup::NR => Self::of::<request::RingSetup>(),
            request::RingEnter::NR => Self::of::<request::RingEnter>(),
            request::RingTeardown::NR => Self::of::<request::RingTeardown>(),
            _ => return None,
        })
    }
}

/// Copies a request's struct.
pub(super) fn take<R: Request>(door: &mut impl Door) -> Result<R, Stopped> {
    let mut request = R::new_zeroed();
    take_bytes(door, Shape::of::<R>(), request.as_mut_bytes())?;
    Ok(request)
}

/// Copies a request's struct to the start of `bytes`, which are zeros.
#[inline(never)]
#[cfg_attr(kp_driver, optimize(size))]
fn take_bytes(door: &mut impl Door, shape: Shape, bytes: &mut [u8]) -> Result<(), Stopped> {
    take_into(door, shape, 0, bytes)
}

/// Copies a request's struct: one copy of its first version, and the rest only if the app has more.
#[inline(always)]
fn take_into(door: &mut impl Door, shape: Shape, flags: u32, bytes: &mut [u8]) -> Result<(), Stopped> {
    let Some(first) = bytes.get_mut(..shape.first) else { return Err(Status::TOO_LARGE.into()) };
    if door.take(first).is_err() {
        return Err(short_or_fault(door, shape));
    }
    let Ok((head, _)) = Head::ref_from_prefix(first) else { return Err(Status::TOO_SMALL.into()) };
    let head = *head;
    if head.size as usize != shape.first {
        take_rest(door, shape, head.size as usize, bytes)?;
    }
    if head.flags & !flags != 0 {
        return Err(Status::UNKNOWN_FLAG.into());
    }
    if !shape.only_reads && !door.is_read_write() {
        return Err(Stopped::Transport(Status::DENIED));
    }
    Ok(())
}

/// The struct could not be copied. Was it too short, or is its address bad?
#[cold]
#[cfg_attr(kp_driver, optimize(size))]
fn short_or_fault(door: &mut impl Door, shape: Shape) -> Stopped {
    match door.size() {
        Ok(size) if (size as usize) < shape.first => Stopped::Answer(Status::TOO_SMALL.into()),
        _ => Stopped::Transport(Status::FAULT),
    }
}

#[cold]
#[cfg_attr(kp_driver, optimize(size))]
fn take_rest(door: &mut impl Door, shape: Shape, size: usize, bytes: &mut [u8]) -> Result<(), Stopped> {
    if size < shape.first {
        return Err(Status::TOO_SMALL.into());
    }
    if size > limits::MAX_REQUEST {
        return Err(Status::TOO_LARGE.into());
    }
    let known = shape.size.min(size);
    if let Some(more) = bytes.get_mut(shape.first..known).filter(|more| !more.is_empty()) {
        door.tail(shape.first, more)?;
    }
    let mut at = known;
    while at < size {
        let mut chunk = [0u8; 64];
        let len = (size - at).min(chunk.len());
        if let Some(part) = chunk.get_mut(..len) {
            door.tail(at, part)?;
        }
        if chunk.iter().any(|&byte| byte != 0) {
            return Err(Status::UNKNOWN_TAIL.into());
        }
        at += len;
    }
    Ok(())
}

/// Writes the answer of a request that goes no further.
#[cold]
#[cfg_attr(kp_driver, optimize(size))]
#[inline(never)]
pub(super) fn refuse(door: &mut impl Door, stopped: Stopped) -> Served {
    match stopped {
        Stopped::Answer(error) if error == Status::INTERRUPTED => Err(Status::INTERRUPTED),
        Stopped::Answer(error) => door.answer(error.status.0, error.detail).map_err(|Faulted| Status::FAULT),
        Stopped::Transport(status) => Err(status),
    }
}
