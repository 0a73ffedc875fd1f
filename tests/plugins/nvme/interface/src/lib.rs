//! What an app and the nvme plugin say to each other.
#![no_std]
#![forbid(unsafe_code)]

kp_abi::wire! {
    /// Two of the controller's registers.
    pub struct State {
        /// Controller Configuration.
        pub configuration: u32,
        /// Controller Status.
        pub status: u32,
    }
    /// Who the controller says it is.
    pub struct Identity {
        /// Its PCI vendor.
        pub vendor: u16,
        /// Its serial number, filled up with spaces.
        pub serial: [u8; 20],
    }
}

kp_abi::interface! {
    /// A controller that can be reset by itself, and what it has of memory then.
    pub mod nvme, version 1 {
        /// The registers.
        fn state() -> State = 1;
        /// The registers as the last enabling of the interrupt has found them: after a reset, as the reset has left them.
        fn found() -> State = 2;
        /// Asks the controller who it is.
        fn identify() -> Identity = 3;
        /// Has it write that to so many pages, and drops each while the controller has it.
        fn lose(pages: u32) = 4;
        /// Resets the controller, which is at work, by configuration space.
        fn reset() = 5;
        /// Resets the controller by its own register, and has the plugin say so.
        fn restart() = 6;
        /// Ends the controller's transfers.
        fn halt() = 7;
    }
}
