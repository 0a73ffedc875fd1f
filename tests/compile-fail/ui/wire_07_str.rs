//! Text is no parameter.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn set(name: &str) = 1;
    }
}
