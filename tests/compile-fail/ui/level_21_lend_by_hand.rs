//! Nobody but a lock lends a raised level.
use kp_core::*;

pub fn call() {
    <Irql as Ceiling>::lend(|_| (), kp_core::Raised(()))
}
