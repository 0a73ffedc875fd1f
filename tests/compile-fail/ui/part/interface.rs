// An interface of two messages. Included by cases whose point is something else.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn double(n: u32) -> u32 = 1;
        fn clear() = 2;
    }
}
