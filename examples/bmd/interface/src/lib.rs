//! What the bmd plugin and its apps say to each other.
#![no_std]
#![forbid(unsafe_code)]

use kp_abi::Buffer;

kp_abi::interface! {
    /// A bus master: a card that reads and writes memory by itself.
    pub mod bmd, version 1 {
        /// The card reads `len` bytes of a buffer from `at` on; what fits into its own memory is the end of them. How many. Timeout: it did not
        /// finish.
        fn write(from: Buffer, at: u64, len: u64) -> u64 = 1;
        /// The card writes as many bytes into a buffer, of its own memory, again and again from the beginning of that.
        fn read(into: Buffer, at: u64, len: u64) -> u64 = 2;
        /// `len` bytes to the card and back, piece by piece, of whole buffers. How many.
        fn loop_back(from: Buffer, into: Buffer, len: u64) -> u64 = 3;
        /// Writes a word of the page that plugin and card share. BadValue: it has no such word.
        fn poke(word: u32, value: u64) = 4;
        /// Reads a word of it.
        fn peek(word: u32) -> u64 = 5;
        /// The card reads the page.
        fn send_page() = 6;
        /// The card writes it.
        fn fetch_page() = 7;
    }
}
