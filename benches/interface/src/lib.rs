//! What the plugins of the benches and the programs that measure them say to each other.
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

kp_abi::interface! {
    /// Waits for an interrupt.
    pub mod wake, version 1 {
        /// Waits until the next interrupt's DPC has woken this call. How long ago it did, in ns.
        fn next() -> u64 = 1;
    }
}
