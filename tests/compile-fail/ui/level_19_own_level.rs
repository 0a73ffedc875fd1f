//! There are three levels; nobody makes a fourth.
use kp_core::*;

pub struct Mine;

impl Level for Mine {
    const LOCK: u32 = 0;
}
impl AtMost<Irql> for Mine {}
