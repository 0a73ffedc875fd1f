//! What an app and the edu28 plugin say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::interface! {
    /// A card that reaches 28 bits.
    pub mod edu28, version 1 {
        /// Makes as many pages that card and processor share, and frees them again. The highest address that the card has of them. NoMemory: the
        /// kernel has none down there.
        fn highest(pages: u32) -> u64 = 1;
        /// Writes a word into a page that is shared, has the card read the page, writes another word, and has the card write the page: what is
        /// there then.
        fn go_round(value: u64) -> u64 = 2;
    }
}
