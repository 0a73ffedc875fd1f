//! An interface has a version.

kp_abi::interface! {
    pub mod sums {
        fn double(n: u32) -> u32 = 1;
    }
}
