//! A parameter has one size on every machine.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn set(n: usize) -> u32 = 1;
    }
}
