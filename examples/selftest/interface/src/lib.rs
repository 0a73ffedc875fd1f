//! What the selftest plugin and its apps say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// How a self test came out.
    pub struct Outcome {
        /// 0: passed; 1: the card answered otherwise than it should; 2: it did not finish.
        pub end: u32,
        /// Steps that have passed.
        pub steps: u32,
        /// What the step that failed was to read.
        pub expected: u32,
        /// What it has read.
        pub found: u32,
        /// A checksum of all that was read.
        pub crc: u32,
    }
}

kp_abi::interface! {
    /// A card's self test.
    pub mod selftest, version 1 {
        /// Runs the self test.
        fn run() -> Outcome = 1;
        /// Has the card interrupt, with these bits of its interrupt status. BadValue: no bits.
        fn raise(bits: u32) = 2;
    }
}
