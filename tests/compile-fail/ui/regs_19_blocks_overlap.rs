//! Blocks do not overlap.
use kp_core::*;

registers! {
    pub mod regs[0x100] {
        0x00 CHANNEL: [channel; 4 stride 0x10];
    }
    pub mod channel[0x14] {
        0x00 START: u32, WO;
    }
}
