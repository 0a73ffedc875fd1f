//! Every message has a number.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn get(n: u32) -> u32;
    }
}
