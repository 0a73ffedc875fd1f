//! The table of requests: from it come the structs, their numbers, sizes and layouts, what a handle must be open for, the Windows
//! method, and through [`RequestNr`] the driver's dispatch. The tables of `docs/abi.md` are compared with it.
#[cfg(doc)]
use super::{ANY_VECTOR, NO_BUS_ADDRESS, NO_TIMEOUT, access, dma, feature, kind, state};
use super::{Counters, Head};
use crate::Status;
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a handle must be open for, so that a request may be made on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Any handle may ask.
    None,
    /// The handle reads.
    Read,
    /// The handle reads and writes.
    ReadWrite,
}

/// How Windows passes a request's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// METHOD_BUFFERED.
    Buffered,
    /// METHOD_NEITHER.
    Neither,
    /// METHOD_OUT_DIRECT, or METHOD_IN_DIRECT where memory is only read: the out-buffer is the memory that the request is about.
    Direct,
}

/// What the table says of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo {
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub nr: u32,
    /// What a handle must be open for.
    pub access: Access,
    /// How Windows passes it.
    pub method: Method,
    /// Size of the struct's first version, in bytes. It never changes; the struct may grow.
    pub first_size: usize,
    /// Size of today's struct, in bytes.
    pub size: usize,
    /// Size of each version of the struct, in bytes, and the ABI's version that has it first.
    pub versions: &'static [(usize, &'static str)],
    /// Offset and name of each field behind the head.
    pub fields: &'static [(usize, &'static str)],
}

/// What all requests have in common.
pub trait Request: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + Default {
    /// What the table says of it.
    const INFO: &'static RequestInfo;
    /// The request's number.
    const NR: u32 = Self::INFO.nr;
    /// Size of the struct's first version, in bytes.
    const FIRST_SIZE: usize = Self::INFO.first_size;
    /// The head.
    fn head(&mut self) -> &mut Head;
    /// A request ready to be filled in and sent.
    fn new() -> Self {
        let mut request = Self::default();
        *request.head() = Head { size: size_of::<Self>() as u32, flags: 0, status: Status::NO_REPLY.0, detail: 0 };
        request
    }
}

/// One request of the table.
macro_rules! request {
    (
        $(#[$meta:meta])* $name:ident = $nr:literal, $access:expr, $method:expr,
        $first:literal bytes since $since:literal { $($(#[$fmeta:meta])* $at:literal $field:ident: $type:ty,)* }
        $(grown to $size:literal bytes since $later:literal { $($(#[$gmeta:meta])* $gat:literal $grown:ident: $gtype:ty,)* })*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name {
            /// Size, flags and the answer.
            pub head: Head,
            $($(#[$fmeta])* pub $field: $type,)*
            $($($(#[$gmeta])* pub $grown: $gtype,)*)*
        }
        impl Request for $name {
            const INFO: &'static RequestInfo = &RequestInfo {
                name: stringify!($name),
                nr: $nr,
                access: $access,
                method: $method,
                first_size: $first,
                size: size_of::<$name>(),
                versions: &[($first, stringify!($since)), $(($size, stringify!($later)),)*],
                fields: &[$(($at, stringify!($field)),)* $($(($gat, stringify!($grown)),)*)*],
            };
            fn head(&mut self) -> &mut Head {
                &mut self.head
            }
        }
        const _: () = assert!(matches!($name::INFO.versions, [.., (last, _)] if *last == size_of::<$name>()));
        const_assert_eq!(align_of::<$name>(), 8);
        $(const_assert_eq!(core::mem::offset_of!($name, $field), $at);)*
        $($(const_assert_eq!(core::mem::offset_of!($name, $grown), $gat); const _: () = assert!($gat >= $first && $gat < $size);)*)*
    };
}

/// The words that the table has for [`Access`] and [`Method`].
macro_rules! word {
    (none) => {
        Access::None
    };
    (read) => {
        Access::Read
    };
    (read_write) => {
        Access::ReadWrite
    };
    (buffered) => {
        Method::Buffered
    };
    (neither) => {
        Method::Neither
    };
    (direct) => {
        Method::Direct
    };
}

macro_rules! requests {
    ($($(#[$meta:meta])* $name:ident = $nr:literal, access: $access:ident, windows: $method:ident { $($body:tt)* })*) => {
        $( request! { $(#[$meta])* $name = $nr, word!($access), word!($method), $($body)* } )*

        /// Which request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum RequestNr {
            $( #[doc = concat!("[`", stringify!($name), "`]")] $name = $nr, )*
        }

        impl RequestNr {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The request with this number. None: there is none.
            pub const fn of(nr: u32) -> Option<Self> {
                match nr {
                    $( $nr => Some(Self::$name), )*
                    _ => None,
                }
            }

            /// What the table says of it.
            pub const fn info(self) -> &'static RequestInfo {
                match self {
                    $( Self::$name => $name::INFO, )*
                }
            }
        }
    };
}

requests! {
    /// Who are you? Works in every state of session and device.
    Query = 0, access: none, windows: buffered {
        136 bytes since 1.0 {
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
        grown to 144 bytes since 1.1 {
            /// Out: entries of a ring at most; 0: the driver has no rings.
            136 max_ring_entries: u32,
            /// Out: a ring's memory at most, data included, in bytes.
            140 max_ring_memory: u32,
        }
        grown to 152 bytes since 1.2 {
            /// Out: how often the device was reset under the driver since it was bound.
            144 resets: u64,
        }
        grown to 176 bytes since 1.3 {
            /// Out: buffers of a session at most; 0: the driver takes none.
            152 max_buffers: u32,
            /// Out: 0. Views of a session at most.
            156 max_views: u32,
            /// Out: 0. Events of a session at most.
            160 max_events: u32,
            /// Out: the device's own transfers, a mask of [`dma`] bits.
            164 dma: u32,
            /// Out: memory that was dropped while the device had it, and is kept until the device has stopped, in bytes.
            168 quarantined: u64,
        }
    }

    /// Starts the session. The plugin's `open` runs here, not at open(2) or CreateFile.
    Open = 1, access: read_write, windows: buffered {
        72 bytes since 1.0 {
            /// In: the app's ABI, major; out: the driver's.
            16 abi_major: u32,
            /// In: the app's ABI, minor; out: the one that is spoken, or after AbiMismatch the driver's.
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

    /// One message to the plugin, and its reply.
    Call = 2, access: read_write, windows: neither {
        56 bytes since 1.0 {
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

    /// Ends the session: wakes its waits, disables its interrupt, waits for its calls, closes it. Idempotent.
    Close = 3, access: read_write, windows: buffered {
        16 bytes since 1.0 {}
    }

    /// Enables the device's interrupt for this session.
    IntEnable = 4, access: read_write, windows: buffered {
        56 bytes since 1.0 {
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

    /// Waits for notifications, and takes them.
    IntWait = 5, access: read_write, windows: buffered {
        56 bytes since 1.0 {
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

    /// Reads the counters; once disabled, the final ones.
    IntCount = 6, access: read, windows: buffered {
        96 bytes since 1.0 {
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

    /// Disables the interrupt, and reads its final counters.
    IntDisable = 7, access: read_write, windows: buffered {
        88 bytes since 1.0 {
            /// Out: number of the enabling that ended.
            16 generation: u64,
            /// Out: its final counters, all vectors together.
            24 counters: Counters,
        }
    }

    /// Gives the driver memory of the app's, which stays where it is, by a number of the app's choice.
    BufferRegister = 24, access: read_write, windows: direct {
        48 bytes since 1.3 {
            /// In: where the memory begins, a multiple of 4096.
            16 addr: u64,
            /// In: its length in bytes, a multiple of 4096, at most `MAX_BUFFER`.
            24 len: u64,
            /// In: the number that messages name it by, below `max_buffers`.
            32 buffer: u32,
            /// In: what driver and device may do with it, one of [`access`].
            36 access: u32,
            /// Zero.
            40 reserved: u64,
        }
    }

    /// Takes a buffer back: its number is free at once. Who uses the memory right now keeps it for as long.
    BufferRelease = 25, access: read_write, windows: buffered {
        24 bytes since 1.3 {
            /// In: the buffer's number.
            16 buffer: u32,
            /// Zero.
            20 reserved: u32,
        }
    }

    /// Makes the session's ring. Its memory, and a page of the driver's, are mapped with mmap(2) at the offsets that it answers; or its memory is a
    /// buffer of the app's.
    RingSetup = 32, access: read_write, windows: buffered {
        72 bytes since 1.1 {
            /// In: entries of each queue, a power of two, at most `MAX_RING_ENTRIES`.
            16 entries: u32,
            /// In: length of the data area in bytes; it is made whole pages.
            20 data_len: u32,
            /// Out: where to map the ring's memory, for reading and writing. 0, if it is a buffer.
            24 memory_offset: u64,
            /// Out: length of the ring's memory in bytes.
            32 memory_len: u64,
            /// Out: where to map the kernel page, for reading. 0, if there is none.
            40 page_offset: u64,
            /// Out: length of the kernel page in bytes. 0: there is none.
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
        grown to 80 bytes since 1.3 {
            /// In: number of the buffer that is the ring's memory; 0: the driver makes it.
            72 buffer: u32,
            /// Zero.
            76 reserved_2: u32,
        }
    }

    /// Runs submitted messages, in their order, in the calling thread. Whatever the status, `submitted` of them were taken, and each of
    /// those has its completion.
    RingEnter = 33, access: read_write, windows: buffered {
        24 bytes since 1.1 {
            /// In: submissions to take, at most.
            16 to_submit: u32,
            /// Out: submissions taken.
            20 submitted: u32,
        }
    }

    /// Takes the session's ring down. What the app has mapped stays mapped, and nobody reads it any more.
    RingTeardown = 34, access: read_write, windows: buffered {
        16 bytes since 1.1 {}
    }

    /// Copies the interface's schema, or a part of it. Works in every state of session and device.
    Schema = 56, access: read, windows: buffered {
        48 bytes since 1.4 {
            /// In: where in the schema the part begins, at most `total`.
            16 offset: u32,
            /// In: room for the part in bytes.
            20 len: u32,
            /// In: address of the room. Windows: 0, it follows the struct in the out-buffer.
            24 addr: u64,
            /// Out: bytes of it that were written.
            32 written: u32,
            /// Out: length of the whole schema in bytes.
            36 total: u32,
            /// Out: the interface's fingerprint.
            40 fingerprint: u64,
        }
    }
}
