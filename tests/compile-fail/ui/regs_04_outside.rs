//! A register lies inside its map.
use kp_core::*;

registers! {
    pub mod regs[0x10] {
        0x10 ID: u32, RO;
    }
}
