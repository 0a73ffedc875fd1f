//! What every command of `cargo kp` is.

pub use kp_tool::Command;
