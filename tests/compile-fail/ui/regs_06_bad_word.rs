//! A register is RO, WO or RW.
use kp_core::*;

registers! {
    pub mod regs[0x10] {
        0x00 ID: u32, R;
    }
}
