//! A register has one of four widths; several in a row are not in this version.
use kp_core::*;

registers! {
    pub mod regs[0x10] {
        0x00 DATA: [u32; 4], RO;
    }
}
