//! What the sleeper plugin and its apps say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// What has happened to the device since the plugin drives it.
    pub struct Happened {
        /// Times it has slept.
        pub sleeps: u32,
        /// Times it has been reset under the plugin.
        pub resets: u32,
    }
}

kp_abi::interface! {
    /// A device that keeps its setting through sleep and resets.
    pub mod sleeper, version 1 {
        /// Sets the device's word.
        fn set(word: u32) = 1;
        /// The word that the device has now.
        fn get() -> u32 = 2;
        /// Starts a computation. The device interrupts when it has finished.
        fn start(n: u32) = 3;
        /// What has happened so far.
        fn happened() -> Happened = 4;
    }
}
