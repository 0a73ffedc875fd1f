//! Message numbers have no gap.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn set(n: u32) = 1;
        fn clear() = 3;
    }
}
