//! A register is aligned.
use kp_core::*;

registers! {
    pub mod regs[0x10] {
        0x02 ID: u32, RO;
    }
}
