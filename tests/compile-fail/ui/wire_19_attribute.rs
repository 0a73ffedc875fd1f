//! A message is there for all, or for nobody.
kp_abi::interface! {
    pub mod sums, version 1 {
        #[cfg(unix)]
        fn get(n: u32) -> u32 = 1;
    }
}
