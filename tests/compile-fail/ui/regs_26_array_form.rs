//! An array is written in one of two forms.
use kp_core::*;

registers! {
    pub mod regs[0x100] {
        0x00 TABLE: [u32; 4, 8], RO;
    }
}
