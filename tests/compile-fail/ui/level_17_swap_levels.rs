//! Levels cannot be swapped for one another.
use kp_core::*;

pub fn swap(a: &mut Passive, b: &mut Irql) {
    core::mem::swap(a, b)
}
