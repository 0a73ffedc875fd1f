//! A struct on the wire has no padding, small types included.
kp_abi::wire! {
    pub struct Setting {
        pub on: bool,
        pub level: u16,
    }
}
