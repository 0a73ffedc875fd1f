//! The client over a driver that lives in the test: no kernel needed.
mod fake;
mod opening;
mod waiting;

/// One interface as it grew, and as it must not.
mod interfaces {
    pub mod two {
        kp_abi::interface! {
            /// As it began.
            pub mod edu, version 1 {
                /// One.
                fn one(n: u32) -> u32 = 1;
                /// Two.
                fn two(at: u8, data: &[u8]) = 2;
            }
        }
    }
    pub mod three {
        kp_abi::interface! {
            /// One message more.
            pub mod edu, version 2 {
                /// One.
                fn one(n: u32) -> u32 = 1;
                /// Two.
                fn two(at: u8, data: &[u8]) = 2;
                /// Three.
                fn three() -> u32 = 3;
            }
        }
    }
    pub mod one_other {
        kp_abi::interface! {
            /// Message 1 is another one, and nobody has noticed.
            pub mod edu, version 1 {
                /// One.
                fn one(n: u64) -> u32 = 1;
            }
        }
    }
    pub mod renamed {
        kp_abi::interface! {
            /// Another name.
            pub mod card, version 1 {
                /// One.
                fn one(n: u32) -> u32 = 1;
            }
        }
    }
    pub mod edited {
        kp_abi::interface! {
            /// Message 2 was edited in place.
            pub mod edu, version 3 {
                /// One.
                fn one(n: u32) -> u32 = 1;
                /// Two.
                fn two(at: u16, data: &[u8]) = 2;
            }
        }
    }
}
