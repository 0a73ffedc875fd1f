//! What an app and the pcie plugin say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// What configuration space says of the device.
    pub struct Facts {
        /// How many capabilities it has.
        pub capabilities: u16,
        /// How many extended ones.
        pub extended: u16,
        /// Where its capability PCI Express is; 0: it has none.
        pub express: u16,
        /// Where its extended capability AER is; 0: it has none.
        pub aer: u16,
        /// Vectors of its MSI-X table; 0: it has no MSI-X.
        pub vectors: u16,
        /// The BAR of the table.
        pub table: u8,
        /// Its power state.
        pub power: u8,
        /// Generation and lanes of its link now, and what it could do; 0: it has none.
        pub link: [u8; 4],
    }
}

kp_abi::interface! {
    /// A device of PCI Express, and its configuration space.
    pub mod pcie, version 1 {
        /// What configuration space says of the device.
        fn facts() -> Facts = 1;
        /// Vital product data.
        fn vpd(at: u16, len: u16) -> [u8] = 2;
        /// Resets the device so often; each time a register that was written before is as after power-on, and others are read right.
        fn reset(times: u32) = 3;
        /// Masks a vector, or unmasks it.
        fn mask(vector: u32, mask: bool) = 4;
        /// Says which processor a vector best goes to.
        fn hint(vector: u32, processor: u32) = 5;
        /// Has the device send a vector.
        fn send(vector: u32) = 6;
        /// How often each vector's handler has run, since the interrupt was enabled.
        fn runs() -> [u32; 4] = 7;
        /// From now on the deferred handler masks its vector, or not.
        fn mask_in_dpc(on: bool) = 8;
    }
}
