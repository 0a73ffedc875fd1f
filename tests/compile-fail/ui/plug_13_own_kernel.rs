//! Only a port is a kernel.
use kp_core::*;

pub struct Mine;

kernel!(Mine);
