//! What an app and the copier plugin say to each other.
#![no_std]
#![forbid(unsafe_code)]
use kp_abi::Buffer;

kp_abi::interface! {
    /// Copies through the card's own memory.
    pub mod copier, version 1 {
        /// Writes a word to a page that both share, has the card copy it to another, and says what is there.
        fn shared(word: u32) -> u32 = 1;
        /// Fills pages of the kernel's own, has the card copy them to others in parts, and says how many bytes have arrived.
        fn pages(len: u32) -> u32 = 2;
        /// Has the card copy from one buffer to another, in parts: how many there were.
        fn copy(from: Buffer, into: Buffer, len: u32) -> u32 = 3;
        /// Keeps a buffer.
        fn keep(buffer: Buffer) = 4;
        /// Shows a buffer to the card, and drops it there.
        fn lose(buffer: Buffer) = 5;
        /// Drops what is kept.
        fn forget() = 6;
        /// Has the card transfer no more, and frees what was dropped there.
        fn halt() = 7;
    }
}
