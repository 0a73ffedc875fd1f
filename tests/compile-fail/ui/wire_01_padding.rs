//! A struct on the wire has no padding, whose bytes would leak.
kp_abi::wire! {
    pub struct Point {
        pub x: u32,
        pub y: u64,
    }
}
