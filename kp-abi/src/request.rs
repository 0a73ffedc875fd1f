//! The requests: one fixed struct each, the same bytes on every kernel and for 32- and 64-bit apps.
//!
//! Every struct starts with a [`Head`]. `size` is the struct's size as the app knows it: less than the first version is
//! refused, a longer one is accepted as long as what the driver does not know is zero. All integers are little-endian, every
//! `u64` stands at a multiple of 8, nothing is padded, and addresses are `u64` whatever the app's own width.
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

/// Windows' control code of request `nr`: `CTL_CODE(0x8B50, 0x800 + nr, method, access)`. CALL comes with METHOD_NEITHER, the others
/// with METHOD_BUFFERED. QUERY needs no access, INT_COUNT reading, the others reading and writing. `None`: no such request.
pub const fn control_code(nr: u32) -> Option<u32> {
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    const NEITHER: u32 = 3;
    let (access, method) = match nr {
        Query::NR => (0, 0),
        IntCount::NR => (READ, 0),
        Call::NR => (READ | WRITE, NEITHER),
        Open::NR | Close::NR | IntEnable::NR | IntWait::NR | IntDisable::NR => (READ | WRITE, 0),
        _ => return None,
    };
    Some(CTL_DEVICE << 16 | access << 14 | (0x800 + nr) << 2 | method)
}

macro_rules! request {
    ($(#[$meta:meta])* $name:ident = $nr:literal, $size:literal bytes { $($(#[$fmeta:meta])* $at:literal $field:ident: $type:ty,)* }) => {
        request! { $(#[$meta])* $name = $nr, $size bytes { $($(#[$fmeta])* $at $field: $type,)* } grown to $size bytes {} }
    };
    (
        $(#[$meta:meta])* $name:ident = $nr:literal,
        $first:literal bytes { $($(#[$fmeta:meta])* $at:literal $field:ident: $type:ty,)* }
        $(grown to $size:literal bytes { $($(#[$gmeta:meta])* $gat:literal $grown:ident: $gtype:ty,)* })+
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name {
            /// Size, flags and the answer.
            pub head: Head,
            $($(#[$fmeta])* pub $field: $type,)*
            $($($(#[$gmeta])* pub $grown: $gtype,)*)+
        }
        impl Request for $name {
            const NR: u32 = $nr;
            const NAME: &'static str = stringify!($name);
            const SIZES: &'static [usize] = &[$first, $($size),+];
            const FIELDS: &'static [(usize, &'static str)] = &[
                $(($at, stringify!($field)),)*
                $($(($gat, stringify!($grown)),)*)+
            ];
            fn head(&mut self) -> &mut Head {
                &mut self.head
            }
        }
        const _: () = assert!(matches!($name::SIZES, [.., last] if *last == size_of::<$name>()));
        const_assert_eq!(align_of::<$name>(), 8);
        $(const_assert_eq!(core::mem::offset_of!($name, $field), $at);)*
        $($(const_assert_eq!(core::mem::offset_of!($name, $grown), $gat); const _: () = assert!($gat >= $first && $gat < $size);)*)+
    };
}

/// What all requests have in common.
pub trait Request: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + Default {
    /// The request's number.
    const NR: u32;
    /// The request's name.
    const NAME: &'static str;
    /// Size of the struct's first version, in bytes. It never changes; the struct may grow.
    const FIRST_SIZE: usize = Self::SIZES[0];
    /// Size of each version of the struct, in bytes, the first one's and today's included.
    const SIZES: &'static [usize];
    /// Offset and name of each field behind the head.
    const FIELDS: &'static [(usize, &'static str)];
    /// The head.
    fn head(&mut self) -> &mut Head;
    /// A request ready to be filled in and sent.
    fn new() -> Self {
        let mut request = Self::default();
        *request.head() =
            Head { size: size_of::<Self>() as u32, flags: 0, status: crate::Status::NO_REPLY.0, detail: 0 };
        request
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
    /// Batched calls: RING_SETUP, RING_ENTER, RING_TEARDOWN.
    pub const RING: u64 = 1 << 0;
    /// The direct form of CALL.
    pub const DIRECT: u64 = 1 << 1;
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

request! {
    /// Who are you? Works in every state of session and device.
    Query = 0, 136 bytes {
        /// In: at how many messages the chain is asked for.
        16 chain_at: u32,
        /// Out: [`state`] of the device.
        20 state: u32,
        /// Out: the driver's ABI, major.
        24 abi_major: u32,
        /// Out: the driver's ABI, minor.
        28 abi_minor: u32,
        /// Out: optional parts of the ABI that the driver has, a mask of [`feature`]s.
        32 features: u64,
        /// Out: messages of the plugin's interface.
        40 message_count: u32,
        /// Out: version of the plugin's interface, for people.
        44 interface_version: u32,
        /// Out: the fingerprint chain at the smaller one of `chain_at` and `message_count`.
        48 chain: u64,
        /// Out: PCI address, `domain << 16 | bus << 8 | device << 3 | function`, or [`NO_BUS_ADDRESS`].
        56 bus_address: u64,
        /// Out: data of a call, and reply, at most, in bytes each.
        64 max_data: u32,
        /// Out: data of OPEN and INT_ENABLE at most, in bytes.
        68 max_open_data: u32,
        /// Out: open sessions of a device at most.
        72 max_sessions: u32,
        /// Out: calls in flight of a session at most.
        76 max_calls: u32,
        /// Out: pending waits of a session at most.
        80 max_waits: u32,
        /// Out: fixed arguments of a message at most, in bytes.
        84 max_args: u32,
        /// Out: the plugin's name, filled up with zeros.
        88 name: [u8; 32],
        /// Out: open sessions of the device now.
        120 sessions: u32,
        /// Out: calls in flight in this session now.
        124 calls: u32,
        /// Out: waits pending in this session now.
        128 waits: u32,
        /// Zero.
        132 reserved: u32,
    }
    grown to 144 bytes {
        /// Out: entries of a ring at most; 0: the driver has no rings.
        136 max_ring_entries: u32,
        /// Out: a ring's memory at most, data included, in bytes.
        140 max_ring_memory: u32,
    }
    grown to 152 bytes {
        /// Out: how often the device was reset under the driver since it was bound.
        144 resets: u64,
    }
}
request! {
    /// Starts the session. The plugin's `open` runs here, not at open(2) or CreateFile.
    Open = 1, 72 bytes {
        /// In: the app's ABI, major; out: the driver's.
        16 abi_major: u32,
        /// In: the app's ABI, minor; out: the driver's.
        20 abi_minor: u32,
        /// In: [`feature`]s wanted; out: those granted.
        24 features: u64,
        /// In: messages that the app knows; out: that the driver knows.
        32 message_count: u32,
        /// In: the app's interface version; out: the driver's.
        36 interface_version: u32,
        /// In: the app's fingerprint chain at its count; out: the driver's, at the smaller count.
        40 fingerprint: u64,
        /// In: address of the open data. Windows: 0, the data follows the struct.
        48 data_addr: u64,
        /// In: length of the open data in bytes.
        56 data_len: u32,
        /// Zero.
        60 reserved: u32,
        /// Out: number of the session, never used again while the plugin is loaded.
        64 session: u64,
    }
}
request! {
    /// One message to the plugin, and its reply.
    Call = 2, 56 bytes {
        /// In: number of the message.
        16 message: u32,
        /// In: length of the fixed arguments in bytes.
        20 args_len: u32,
        /// In: length of the data in bytes.
        24 in_len: u32,
        /// In: room for the reply in bytes.
        28 out_len: u32,
        /// In: address of the fixed arguments. Windows: 0, they follow the struct.
        32 args_addr: u64,
        /// In: address of the data. Windows: 0, it follows the arguments, padded to 8.
        40 in_addr: u64,
        /// In: address of the room for the reply. Windows: 0, it follows the head in the out-buffer.
        48 out_addr: u64,
    }
}
request! {
    /// Ends the session: wakes its waits, disables its interrupt, waits for its calls, closes it. Idempotent.
    Close = 3, 16 bytes {}
}
request! {
    /// Enables the device's interrupt for this session.
    IntEnable = 4, 56 bytes {
        /// In: [`kind`]s wanted, a mask.
        16 kinds: u32,
        /// In: vectors wanted, at least.
        20 min: u32,
        /// In: vectors wanted, at most.
        24 max: u32,
        /// In: length of the data in bytes.
        28 data_len: u32,
        /// In: address of the data for the plugin's `int_enable`. Windows: 0, the data follows the struct.
        32 data_addr: u64,
        /// Out: the [`kind`] it got.
        40 kind: u32,
        /// Out: vectors it got.
        44 count: u32,
        /// Out: number of this enabling; each one has its own counters.
        48 generation: u64,
    }
}
request! {
    /// Waits for notifications, and takes them.
    IntWait = 5, 56 bytes {
        /// In: how long to wait, in ns; 0 asks only, [`NO_TIMEOUT`] has no end. After a signal: what is left of it.
        16 timeout_ns: u64,
        /// In: vector, or [`ANY_VECTOR`].
        24 vector: u32,
        /// In: notifications to take, at most; at least 1.
        28 max: u32,
        /// Out: vector they came from.
        32 got_vector: u32,
        /// Out: notifications taken.
        36 got: u32,
        /// Out: notifications of that vector still there.
        40 available: u64,
        /// Out: number of the enabling they belong to.
        48 generation: u64,
    }
}
request! {
    /// Reads the counters; once disabled, the final ones.
    IntCount = 6, 96 bytes {
        /// In: vector, or [`ANY_VECTOR`] for the sum.
        16 vector: u32,
        /// Zero.
        20 reserved: u32,
        /// Out: number of the enabling counted; 0 if there was none.
        24 generation: u64,
        /// Out: the counters.
        32 counters: Counters,
    }
}
request! {
    /// Disables the interrupt, and reads its final counters.
    IntDisable = 7, 88 bytes {
        /// Out: number of the enabling that ended.
        16 generation: u64,
        /// Out: its final counters, all vectors together.
        24 counters: Counters,
    }
}
request! {
    /// Makes the session's ring. Its memory, and a page of the driver's, are mapped with mmap(2) at the offsets that it answers.
    RingSetup = 32, 72 bytes {
        /// In: entries of each queue, a power of two, at most `MAX_RING_ENTRIES`.
        16 entries: u32,
        /// In: length of the data area in bytes; it is made whole pages.
        20 data_len: u32,
        /// Out: where to map the ring's memory, for reading and writing.
        24 memory_offset: u64,
        /// Out: length of the ring's memory in bytes.
        32 memory_len: u64,
        /// Out: where to map the kernel page, for reading.
        40 page_offset: u64,
        /// Out: length of the kernel page in bytes.
        48 page_len: u64,
        /// Out: the submissions, in the ring's memory.
        56 sq_at: u32,
        /// Out: the completions, in the ring's memory.
        60 cq_at: u32,
        /// Out: the data area, in the ring's memory.
        64 data_at: u32,
        /// Zero.
        68 reserved: u32,
    }
}
request! {
    /// Runs submitted messages, in their order, in the calling thread. Whatever the status, `submitted` of them were taken, and each of
    /// those has its completion.
    RingEnter = 33, 24 bytes {
        /// In: submissions to take, at most.
        16 to_submit: u32,
        /// Out: submissions taken.
        20 submitted: u32,
    }
}
request! {
    /// Takes the session's ring down. What the app has mapped stays mapped, and nobody reads it any more.
    RingTeardown = 34, 16 bytes {}
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
    /// Runs of `int_at_dpc`.
    pub dpc_runs: u64,
    /// Sum of what `int_at_dpc` returned.
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
