// Two register maps. Included by cases whose point is something else.
use kp_core::*;

registers! {
    pub mod regs[0x10] {
        0x00 ID: u32, RO;
        0x04 ACK: u32, WO { GO = 0 };
        0x08 CONTROL: u32, RW { ON = 0, MODE = 4..=6 };
    }
}
registers! {
    pub mod other[0x10] {
        0x00 VALUE: u32, RW;
    }
}
