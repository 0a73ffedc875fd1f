//! There are three levels; nobody makes a fourth.
use kp_core::*;

pub struct Mine;

impl Level for Mine {
    const LOCK: host::LockKind = host::LockKind::Order;
}
impl AtMost<Irql> for Mine {}
