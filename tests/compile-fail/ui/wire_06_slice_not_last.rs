//! Bulk data is the last parameter.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn set(data: &[u8], n: u32) = 1;
    }
}
