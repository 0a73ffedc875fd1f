//! Blocks lie where their widest register may, the second one too.
use kp_core::*;

registers! {
    pub mod regs[0x100] {
        0x00 CHANNEL: [channel; 4 stride 0x1C];
    }
    pub mod channel[0x18] {
        0x00 START: u32, WO;
        0x08 ADDRESS: u64, RW;
    }
}
