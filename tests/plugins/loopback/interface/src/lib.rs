//! What an app and the loopback plugin say to each other.
#![no_std]
#![forbid(unsafe_code)]

use kp_abi::Buffer;

/// The room that each frame has in the buffer that receives, in bytes.
pub const BLOCK: u32 = 4096;
/// The shortest frame: the card fills up what is shorter.
pub const SHORTEST: u32 = 60;
/// The longest frame.
pub const LONGEST: u32 = BLOCK;

kp_abi::interface! {
    /// A network card whose frames come back to it.
    pub mod loopback, version 1 {
        /// Maps two whole buffers for the card, once: frames go out of one and come into the other. What was attached before is detached.
        fn attach(from: Buffer, into: Buffer) = 1;
        /// Undoes that.
        fn detach() = 2;
        /// Sends frames of `len` bytes, which lie one behind the other from `from_at` on, and receives each into a block of its own, from
        /// `into_at` on. How many. BadValue: nothing is attached, or this is not inside of it.
        fn transfer(from_at: u64, into_at: u64, len: u32, frames: u32) -> u32 = 3;
        /// Has the card receive into the first block of what is attached, and sends nothing: Timeout after so many ms. What is attached stays with
        /// the card until another message needs it.
        fn wait_for_nothing(ms: u32) = 4;
        /// Gives what is attached to the card, inverts the last of the first `len` bytes, and then sends them, and receives them into the first
        /// block: if the card sees the pages themselves, the new byte comes, and if it sees copies the old one.
        fn change_late(len: u32) = 5;
        /// Whether an IOMMU keeps the card from all other memory.
        fn is_isolated() -> u32 = 6;
        /// Allocates that many bytes that card and processor share, and frees them. NoMemory: the kernel has none of that size.
        fn share(bytes: u64) = 7;
        /// Resets the card: what was kept for it is freed.
        fn reset() = 8;
        /// Has the card read a frame at a bus address that nobody has made for it. What a real card does then is anybody's guess: for a machine with
        /// an IOMMU, which stops it and says so.
        fn stray(at: u64) = 9;
    }
}
