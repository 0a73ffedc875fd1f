//! The requests: one fixed struct each, the same bytes on every kernel and for 32- and 64-bit apps.
//!
//! Every struct starts with a [`Head`]. `size` is the struct's size as the app knows it: less than the first version is
//! refused, a longer one is accepted as long as what the driver does not know is zero. All integers are little-endian, every
//! `u64` stands at a multiple of 8, nothing is padded, and addresses are `u64` whatever the app's own width.
mod table;

pub use table::*;

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Type byte of the Linux ioctl numbers, `_IOC(READ|WRITE, 0xBF, nr, 0)`. Free in the kernel's ioctl-number.rst.
pub const IOCTL_TYPE: u32 = 0xBF;
/// Device type of the Windows control codes, `CTL_CODE(0x8B50, 0x800 + nr, method, access)`.
pub const CTL_DEVICE: u32 = 0x8B50;

/// Linux's ioctl number of request `nr`. The length stands in the struct, not in the number.
pub const fn ioctl_number(nr: u32) -> u32 {
    3 << 30 | IOCTL_TYPE << 8 | nr
}

/// Number of the direct form of CALL, [`direct_number`]. It has no struct.
pub const CALL_DIRECT: u32 = 12;

/// Linux's ioctl number of message `message` in the direct form of CALL: the message's number stands where others have a size.
pub const fn direct_number(message: u32) -> u32 {
    3 << 30 | (message & crate::limits::MAX_DIRECT_MESSAGE) << 16 | IOCTL_TYPE << 8 | CALL_DIRECT
}

const METHOD_BUFFERED: u32 = 0;
const METHOD_IN_DIRECT: u32 = 1;
const METHOD_OUT_DIRECT: u32 = 2;
const METHOD_NEITHER: u32 = 3;

/// Windows' control code of request `nr`: `CTL_CODE(0x8B50, 0x800 + nr, method, access)`. CALL comes with METHOD_NEITHER, BUFFER_REGISTER with
/// METHOD_OUT_DIRECT, or as [`in_direct_code`] says, the others with METHOD_BUFFERED. QUERY needs no access, INT_COUNT reading, the others
/// reading and writing. `None`: no such request.
pub const fn control_code(nr: u32) -> Option<u32> {
    let Some(request) = RequestNr::of(nr) else { return None };
    let info = request.info();
    let access = match info.access {
        Access::None => 0,
        Access::Read => 1,
        Access::ReadWrite => 3,
    };
    let method = match info.method {
        Method::Buffered => METHOD_BUFFERED,
        Method::Neither => METHOD_NEITHER,
        Method::Direct => METHOD_OUT_DIRECT,
    };
    Some(CTL_DEVICE << 16 | access << 14 | (0x800 + nr) << 2 | method)
}

/// Windows' control code of request `nr` if the memory that it is about is only read: with METHOD_IN_DIRECT. `None`: the request is about none.
pub const fn in_direct_code(nr: u32) -> Option<u32> {
    match control_code(nr) {
        Some(code) if code & 3 == METHOD_OUT_DIRECT => Some(code & !3 | METHOD_IN_DIRECT),
        _ => None,
    }
}

/// The number of the request that a control code stands for. `None`: there is no such request, or not with this method and access.
pub const fn of_control_code(code: u32) -> Option<u32> {
    let Some(nr) = (code >> 2 & 0xFFF).checked_sub(0x800) else { return None };
    match (control_code(nr), in_direct_code(nr)) {
        (Some(its), _) if its == code => Some(nr),
        (_, Some(its)) if its == code => Some(nr),
        _ => None,
    }
}

/// First 8 bytes of a direct call's buffer. Behind them stands what the message's [`Shape`](crate::Shape) says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Answer {
    /// Out: the answer, the same as the ioctl's.
    pub status: u32,
    /// Out: what the status says it is. After Ok, the bytes of reply written where [`Segments`] says.
    pub detail: u32,
}
const_assert_eq!(size_of::<Answer>(), 8);

/// What stands behind the [`Answer`] in a direct call's buffer, if the message's [`Shape`](crate::Shape) says so; the fixed arguments
/// follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Segments {
    /// In: length of the data in bytes.
    pub in_len: u32,
    /// In: room for the reply in bytes.
    pub out_len: u32,
    /// In: address of the data.
    pub in_addr: u64,
    /// In: address of the room for the reply.
    pub out_addr: u64,
}
const_assert_eq!(size_of::<Segments>(), 24);

/// First 16 bytes of every request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct Head {
    /// Size of the whole struct in bytes, this head included.
    pub size: u32,
    /// Flags of the request; an unknown one is refused.
    pub flags: u32,
    /// Out: the answer. The app presets [`NoReply`](crate::Status::NO_REPLY).
    pub status: u32,
    /// Out: what the status says it is. After a CALL that succeeded, the bytes of reply written.
    pub detail: u32,
}
const_assert_eq!(size_of::<Head>(), 16);

/// Flag of CALL: answer Suspended at once, rather than wait until the device is back.
pub const CALL_NOWAIT: u32 = 1 << 0;

/// Vector number that means "any" (INT_WAIT) or "all together" (INT_COUNT).
pub const ANY_VECTOR: u32 = u32::MAX;
/// Timeout that never comes.
pub const NO_TIMEOUT: u64 = u64::MAX;
/// Bus address of a plugin that drives no device.
pub const NO_BUS_ADDRESS: u64 = u64::MAX;

/// Kinds of interrupt, as bits of a mask. Exactly one in an answer.
pub mod kind {
    /// Level-triggered, perhaps shared: INTx.
    pub const LINE: u32 = 1 << 0;
    /// MSI.
    pub const MSI: u32 = 1 << 1;
    /// MSI-X.
    pub const MSIX: u32 = 1 << 2;
    /// Whichever there is, best first: MSI-X, MSI, line.
    pub const ANY: u32 = LINE | MSI | MSIX;
}

/// Optional parts of the ABI, as bits of a mask. An app may use what it has asked for at OPEN and was granted.
pub mod feature {
    /// Batched calls, since 1.1, on memory of the app's since 1.3: RING_SETUP, RING_ENTER, RING_TEARDOWN.
    pub const RING: u64 = 1 << 0;
    /// The direct form of CALL, since 1.1.
    pub const DIRECT: u64 = 1 << 1;
    /// Buffers of the app's, since 1.3: BUFFER_REGISTER, BUFFER_RELEASE.
    pub const BUFFERS: u64 = 1 << 2;
    /// The interface as bytes, since 1.4: SCHEMA, which needs no OPEN.
    pub const SCHEMA: u64 = 1 << 6;
}

/// Values of [`BufferRegister::access`].
pub mod access {
    /// The driver and its device read the buffer.
    pub const READ: u32 = 1;
    /// They write it too.
    pub const WRITE: u32 = 2;
}

/// Bits of [`Query::dma`].
pub mod dma {
    /// The device transfers by itself.
    pub const HAS: u32 = 1 << 0;
    /// An IOMMU keeps it from all memory but what was made for it.
    pub const ISOLATED: u32 = 1 << 1;
}

/// Values of [`Query::state`].
pub mod state {
    /// Bound, and at work.
    pub const BOUND: u32 = 0;
    /// Suspended, or being reset: calls wait until it is at work again.
    pub const SUSPENDED: u32 = 1;
    /// Being removed, or gone.
    pub const GONE: u32 = 2;
    /// The plugin panicked.
    pub const POISONED: u32 = 3;
}

/// What happened since the interrupt was enabled. `notified = delivered + available + lost`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// Runs of `int_at_irql` that claimed or deferred. Not device events: several may merge before a run.
    pub received: u64,
    /// Runs of `int_at_irql` that did neither, and what came after a storm.
    pub spurious: u64,
    /// Runs of `int_at_irql` that deferred.
    pub deferred: u64,
    /// Runs of `int_at_dpc`. Of a plugin without it: looks at what was deferred, at most `deferred`.
    pub dpc_runs: u64,
    /// Sum of what `int_at_dpc` returned. Of a plugin without it: as `deferred`.
    pub notified: u64,
    /// Notifications that waits have taken.
    pub delivered: u64,
    /// Notifications not taken yet.
    pub available: u64,
    /// Notifications that nobody will take: above the limit, or left over at INT_DISABLE.
    pub lost: u64,
}
const_assert_eq!(size_of::<Counters>(), 64);

impl Counters {
    /// Adds another vector's.
    pub fn add(&mut self, other: &Counters) {
        self.received += other.received;
        self.spurious += other.spurious;
        self.deferred += other.deferred;
        self.dpc_runs += other.dpc_runs;
        self.notified += other.notified;
        self.delivered += other.delivered;
        self.available += other.available;
        self.lost += other.lost;
    }
}
