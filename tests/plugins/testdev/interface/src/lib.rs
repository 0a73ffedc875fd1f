//! What an app and the testdev plugin say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// One of the device's tests.
    pub struct Selected {
        /// Where it is written to, in bytes.
        pub offset: u32,
        /// How often it was since the test was selected.
        pub count: u32,
        /// What is written.
        pub data: u8,
        /// How wide that is, in bytes.
        pub width: u8,
        /// Its name, and zeros.
        pub name: [u8; 22],
    }
}

kp_abi::interface! {
    /// The tests of QEMU's pci-testdev.
    pub mod testdev, version 1 {
        /// Selects a test in the BAR of ports, carries it out so often, and looks at it again.
        fn by_ports(test: u8, times: u32) -> Selected = 1;
        /// The same in the BAR of memory.
        fn by_memory(test: u8, times: u32) -> Selected = 2;
    }
}
