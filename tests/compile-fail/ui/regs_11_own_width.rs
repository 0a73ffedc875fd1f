//! A register is as wide as the bus can do.
use kp_core::*;

registers! {
    pub mod regs[0x10] {
        0x00 ID: u128, RO;
    }
}
