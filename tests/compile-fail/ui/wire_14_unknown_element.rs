//! A slice's elements are wire data.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn set(names: &[&str]) = 1;
    }
}
