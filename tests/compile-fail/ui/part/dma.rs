// What a device and the processor share. Included by cases about a device's transfers.
use kp_core::*;

registers! {
    pub mod descriptor[0x10] {
        0x00 ADDRESS: u64, RW;
        0x08 CONTROL: u32, RW { OWNED = 0 };
    }
}
registers! {
    pub mod other[0x10] {
        0x00 VALUE: u32, RW;
    }
}
