//! A lock is made at Passive, not at compile time: the kernel has to make its part.
use kp_core::*;

pub static LOCK: SpinLock<u32, Irql> = SpinLock::new(0);
