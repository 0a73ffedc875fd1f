//! A message's `Result` is not written.

kp_abi::interface! {
    pub mod sums, version 1 {
        fn double(n: u32) -> Result<u32> = 1;
        fn clear() = 2;
    }
}
