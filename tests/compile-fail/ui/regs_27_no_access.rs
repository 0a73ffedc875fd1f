//! A register has an access.
use kp_core::*;

registers! {
    pub mod regs[0x100] {
        0x00 ID: u32;
    }
}
