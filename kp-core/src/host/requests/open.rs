//! QUERY and OPEN: what app and driver are, and what they agree on.
use crate::{
    Error, Passive, Plugin, Status,
    host::{
        kernel, lifecycle, nospec::array_index_nospec, outcome::RequestError, session::Session,
        user_request::UserRequest,
    },
    limits,
};
use core::{ops::BitOr, sync::atomic::Ordering::Relaxed};
use kp_abi::{
    request::{self, feature, state},
    zerocopy::{self, IntoBytes},
};

impl<P: Plugin> Session<P> {
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
        query.name.split_at_mut(name.len()).0.copy_from_slice(name);
        query
    };
}

/// QUERY.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn query<P: Plugin>(
    session: &Session<P>,
    query: &mut request::Query,
    user: &mut impl UserRequest,
) -> Result<(), RequestError> {
    if query.reserved != 0 {
        return Err(Status::BAD_FIELD.into());
    }
    *query = request::Query { head: query.head, chain_at: query.chain_at, ..Session::<P>::QUERY };
    query.state = if kernel::poisoned() { state::POISONED } else { session.device.state.get() };
    query.features = features::<P>(user);
    query.chain = chain::<P>(query.chain_at);
    query.bus_address = session.device.bus_address;
    query.sessions = session.device.open_sessions.load(Relaxed);
    query.calls = session.gate.inside();
    query.waits = session.waits.load(Relaxed);
    query.resets = session.device.state.resets();
    if query.features & feature::RING != 0 {
        (query.max_ring_entries, query.max_ring_memory) = (limits::MAX_RING_ENTRIES, limits::MAX_RING_MEMORY as u32);
    }
    if query.features & feature::BUFFERS != 0 {
        query.max_buffers = limits::MAX_BUFFERS;
    }
    if let Some(link) = session.device.link() {
        (query.dma, query.quarantined) = link.dma_figures();
    }
    Ok(())
}

/// OPEN: does the app fit? Then the plugin's `open`.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn open<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    open: &mut request::Open,
    user: &mut impl UserRequest,
) -> Result<(), RequestError> {
    if open.reserved != 0 {
        return Err(Status::BAD_FIELD.into());
    }
    let mut data = SmallBuffer::new();
    let data = copy_small(cx, user, open.head.size, open.data_addr, open.data_len, &mut data)?;
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
    open.features = app.features & features::<P>(user) & features_of(spoken);
    open.session = lifecycle::open(session, cx, data, open.features)?;
    Ok(())
}

/// Copies the data of OPEN or INT_ENABLE. `size` is the struct's: inline data follows it.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn copy_small<'b>(
    cx: &mut Passive,
    user: &mut impl UserRequest,
    size: u32,
    address: u64,
    len: u32,
    buffer: &'b mut SmallBuffer,
) -> Result<&'b [u8], RequestError> {
    let len = len as usize;
    if len == 0 {
        return Ok(&[]);
    }
    if len > limits::MAX_OPEN_DATA {
        return Err(Status::PAYLOAD_TOO_LARGE.into());
    }
    let address = user.input_range(address, size as usize, len)?;
    let bytes = buffer.room(cx, len)?;
    user.copy_from_user(address, bytes)?;
    Ok(bytes)
}

/// The data of OPEN or INT_ENABLE: 8-aligned.
pub(super) struct SmallBuffer(Option<crate::KVec<u64>>);

impl SmallBuffer {
    pub(super) fn new() -> Self {
        Self(None)
    }

    #[cfg_attr(kp_driver, optimize(size))]
    fn room(&mut self, cx: &mut Passive, len: usize) -> Result<&mut [u8], Error> {
        let words = crate::KVec::zeroed(cx, len.div_ceil(8))?;
        self.0.insert(words).as_mut_bytes().get_mut(..len).ok_or(Status::NO_MEMORY.into())
    }
}

/// Optional parts of the ABI that this driver has: the direct form is for messages that an interface describes.
fn features<P: Plugin>(user: &impl UserRequest) -> u64 {
    let buffers = Session::<P>::has_buffers() && user.can_pin();
    union([
        (feature::RING, kernel::can_mmap() || buffers),
        (feature::DIRECT, P::TABLE.interface.is_some() && user.takes_direct_calls()),
        (feature::BUFFERS, buffers),
        (feature::SCHEMA, !Session::<P>::SCHEMA.is_empty()),
    ])
}

/// Optional parts that version 1.`minor` of the ABI has in the form in which this kernel has them.
#[cfg_attr(kp_driver, optimize(size))]
fn features_of(minor: u32) -> u64 {
    let ring = if kernel::can_mmap() { 1 } else { 3 }; // before 1.3 a ring could only be mapped
    union([
        (feature::RING, minor >= ring),
        (feature::DIRECT, minor >= 1),
        (feature::BUFFERS, minor >= 3),
        (feature::SCHEMA, minor >= 4),
    ])
}

/// Those of them that are there.
fn union(parts: [(u64, bool); 4]) -> u64 {
    parts.into_iter().filter(|&(_, is_there)| is_there).map(|(part, _)| part).fold(0, BitOr::bitor)
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
    chain.get(array_index_nospec(at, chain.len())).copied().unwrap_or(0)
}
