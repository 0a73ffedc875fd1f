//! A reply of many elements takes types of which all bytes are values.
kp_abi::interface! {
    pub mod sums, version 1 {
        fn get() -> [bool] = 1;
    }
}
