//! Each block lies inside its map.
use kp_core::*;

registers! {
    pub mod regs[0x100] {
        0x90 CHANNEL: [channel; 4 stride 0x20];
    }
    pub mod channel[0x14] {
        0x00 START: u32, WO;
    }
}
