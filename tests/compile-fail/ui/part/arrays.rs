use kp_core::*;

registers! {
    pub mod regs[0x100] {
        0x00 ID: u32, RO;
        0x10 TABLE: [u32; 4], RO;
        0x40 CHANNEL: [channel; 4 stride 0x20];
    }
    pub mod channel[0x20] {
        0x00 START: u32, WO;
    }
}
