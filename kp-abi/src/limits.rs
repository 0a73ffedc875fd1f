//! The bounds that hold on every kernel. QUERY reports them, so an app need not be built with the same ones.

/// The ABI's major version: another one is refused at OPEN.
pub const ABI_MAJOR: u32 = 1;
/// The ABI's minor version: the smaller one of app and driver is spoken.
pub const ABI_MINOR: u32 = 4;

/// Fixed arguments of one message together, in bytes.
pub const MAX_ARGS: usize = 256;
/// A reply of fixed size that a direct call brings in the place of the arguments, in bytes; a larger one has a place of its own.
pub const MAX_FIXED_REPLY: usize = 256;
/// The highest message number of a direct call: what an ioctl's number has room for.
pub const MAX_DIRECT_MESSAGE: u32 = (1 << 14) - 1;
/// Data of a call, and its reply, in bytes each; this many are still accepted.
pub const MAX_DATA: usize = 65_536;
/// Data of OPEN and INT_ENABLE, in bytes.
pub const MAX_OPEN_DATA: usize = 4096;
/// A request's struct, in bytes.
pub const MAX_REQUEST: usize = 4096;
/// A plugin's name, in bytes.
pub const MAX_NAME: usize = 31;
/// Open sessions of one device.
pub const MAX_SESSIONS: u32 = 64;
/// Calls in flight in one session.
pub const MAX_CALLS: u32 = 64;
/// Pending INT_WAITs of one session.
pub const MAX_WAITS: u32 = 64;
/// Vectors of one device: what MSI-X can have.
pub const MAX_VECTORS: u32 = 2048;
/// Notifications waiting to be taken, per vector; more are counted as lost.
pub const MAX_AVAILABLE: u64 = (1 << 31) - 1;
/// Entries of a ring.
pub const MAX_RING_ENTRIES: u32 = 4096;
/// A ring's memory, data included, in bytes.
pub const MAX_RING_MEMORY: usize = 4 << 20;
/// Buffers of one session.
pub const MAX_BUFFERS: u32 = 64;
/// One buffer, in bytes.
pub const MAX_BUFFER: u64 = 1 << 30;
/// All buffers of one session, in bytes.
pub const MAX_PINNED: u64 = 4 << 30;
