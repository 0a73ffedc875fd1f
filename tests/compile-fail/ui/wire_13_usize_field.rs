//! A field has one size on every machine.
kp_abi::wire! {
    pub struct Length {
        pub bytes: usize,
    }
}
