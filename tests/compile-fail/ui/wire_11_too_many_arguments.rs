//! Fixed parameters have 256 bytes together.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn set(a: [u64; 32], b: u8) = 1;
    }
}
