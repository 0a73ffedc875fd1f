//! What an app and the eduown plugin say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// What has happened since `init`.
    pub struct Heard {
        /// Interrupts that the plugin has heard of.
        pub interrupts: u32,
        /// Runs of `int_enable`, `int_arm`, `int_disarm` and `int_disable`.
        pub callbacks: [u32; 4],
        /// Interrupts that came when there was no context for them, or that it was the wrong one's.
        pub wrong: u32,
        /// Times that the device slept, and runs of the interrupt's callbacks meanwhile.
        pub sleeps: [u32; 2],
        /// Interrupts that the device had for them.
        pub unheard: u32,
    }
}

kp_abi::interface! {
    /// An interrupt that is on without an app.
    pub mod own, version 1 {
        /// What has happened.
        fn heard() -> Heard = 1;
        /// From now on the device interrupts every so many microseconds; 0: no more. It begins with 1000.
        fn every(us: u32) = 2;
        /// Ends the device's transfers, for which the interrupt is off for a moment.
        fn halt() = 3;
        /// Waits until so many more interrupts have come.
        fn wait(interrupts: u32) = 4;
        /// From now on the device interrupts in the middle of its sleep, whoever hears.
        fn disturb_sleep() = 5;
    }
}
