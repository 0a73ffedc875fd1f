//! The frames of a socket that stands in for a device: what an app and a process with a plugin in it say to each other. `docs/socket.md` has it
//! in words.
use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What both sides' first bytes are.
pub const MAGIC: [u8; 4] = *b"KPN1";
/// The longest in-buffer and the longest out-buffer of a request, in bytes.
pub const MAX_BUFFER: u32 = 128 << 10;
/// The environment variable that names a socket to apps.
pub const VARIABLE: &str = "KP_NODE";

/// Values of [`Hello::kind`].
pub mod kind {
    /// Opens a handle. It lives until this connection is closed.
    pub const OPEN: u32 = 0;
    /// One more connection for a handle's requests.
    pub const MORE: u32 = 1;
    /// Becomes readable when a notification can be taken.
    pub const POLL: u32 = 2;
}

/// A client's first words on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Hello {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// What the connection is for: one of [`kind`].
    pub kind: u32,
    /// Whose it is; 0 with [`kind::OPEN`].
    pub handle: u64,
}
const_assert_eq!(size_of::<Hello>(), 16);

/// The answer to a [`Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Welcome {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// A row of the status table. If it is not Ok, the connection is closed.
    pub status: u32,
    /// The handle: a number that cannot be guessed. 0 if there is none.
    pub handle: u64,
}
const_assert_eq!(size_of::<Welcome>(), 16);

/// What stands before a request's in-buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestFrame {
    /// The control code, as Windows has it.
    pub code: u32,
    /// Bytes of the in-buffer, which follow; at most [`MAX_BUFFER`].
    pub in_len: u32,
    /// Bytes of the out-buffer; at most [`MAX_BUFFER`].
    pub out_len: u32,
    /// 0.
    pub reserved: u32,
}
const_assert_eq!(size_of::<RequestFrame>(), 16);

/// What stands before a reply's out-buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReplyFrame {
    /// A row of the status table that is marked T. If it is not Ok, no bytes follow.
    pub status: u32,
    /// Bytes of the out-buffer, which follow.
    pub out_len: u32,
    /// 0.
    pub reserved: [u32; 2],
}
const_assert_eq!(size_of::<ReplyFrame>(), 16);
