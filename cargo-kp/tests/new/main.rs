//! `cargo kp new` and `cargo kp regs`: what they make builds and passes its tests, what they refuse is named, and nothing is left in part.
#[cfg(target_os = "linux")]
mod apps;
mod folder;
mod generated;
mod refusals;
mod regs;
mod whole;
