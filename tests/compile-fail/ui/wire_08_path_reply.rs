//! A reply's type is one word.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn get(n: u32) -> core::primitive::u32 = 1;
    }
}
