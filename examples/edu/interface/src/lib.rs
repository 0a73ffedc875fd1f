//! What the edu plugin and its apps say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// The plugin's version.
    pub struct Version {
        /// Hundredths: 100 is 1.00.
        pub number: u32,
        /// Its name, filled up with zeros.
        pub name: [u8; 20],
    }

    /// What the device says it is.
    pub struct Identity {
        /// The device's major version.
        pub major: u8,
        /// The device's minor version.
        pub minor: u8,
        /// Zero.
        pub reserved: u16,
    }
}

kp_abi::interface! {
    /// QEMU's educational device.
    pub mod edu, version 1 {
        /// The plugin's version.
        fn version() -> Version = 1;
        /// The device's identity.
        fn identity() -> Identity = 2;
        /// Is the device alive? Gives back the bitwise inverse of `word`, which the device makes.
        fn invert(word: u32) -> u32 = 3;
        /// n!, modulo 2^32, computed by the device. Timeout: it did not finish within a second.
        fn factorial(n: u32) -> u32 = 4;
        /// Has the device interrupt, with these bits of its interrupt status. BadValue: no bits.
        fn raise(bits: u32) = 5;
        /// Defers every `n`th interrupt from the next enabling on, in whichever session; the others end in the interrupt handler, and no
        /// app is notified of them. Every 5th at first; 1 for all. BadValue: 0.
        fn defer_every(n: u32) = 6;
    }
}
