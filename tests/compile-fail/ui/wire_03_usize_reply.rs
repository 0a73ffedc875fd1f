//! A reply has one size on every machine.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn get(n: u32) -> usize = 1;
    }
}
