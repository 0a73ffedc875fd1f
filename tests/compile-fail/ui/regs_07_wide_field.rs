//! A bit field lies inside its register.
use kp_core::*;

registers! {
    pub mod regs[0x10] {
        0x00 ID: u8, RO { HIGH = 4..=8 };
    }
}
