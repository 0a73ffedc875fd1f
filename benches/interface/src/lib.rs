//! What the bench plugin and the programs that measure it say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::interface! {
    /// Answers with what it is sent.
    pub mod bench, version 1 {
        /// Nothing.
        fn null() = 1;
        /// Gives 64 bytes back.
        fn copy64(words: [u64; 8]) -> [u64; 8] = 2;
        /// Gives the data back.
        fn copy(data: &[u8]) -> [u8] = 3;
    }
}
