//! What `cargo kp` and the small program `kp` share: all that needs no compiler.
//!
//! [`Message`] is the catalogue of what both refuse, each with the exit code that a script sees. [`commands`] are those of `kp`.
//! [`module`] reads a module's file, [`bus`] looks at the devices, [`trust`] at whether the kernel takes a module, [`machine`] is what all of
//! them look at. [`install`] makes and removes, [`receipt`] says what was made, [`loaded`] loads and unloads, `taken` takes devices from other drivers and gives them back, `owner` asks
//! which package a file is of, [`nodes`] looks at
//! what came of it, [`next_boot`] at what comes of it then, [`plugins`] says which there are.
//! [`strip`] leaves debug information out. [`found`] is a device, and what a scan says of it. [`schema`] is a plugin's messages as data. [`manual`] tells shells and `man` of a program's commands.
#![forbid(unsafe_code)]

mod command;
pub mod found;
#[cfg(test)]
mod made_up;
pub mod manual;
mod message;
pub mod module;
pub mod pattern;
pub mod rules;
pub mod schema;

#[cfg(unix)]
pub mod bus;
#[cfg(unix)]
pub mod commands;
#[cfg(all(unix, test))]
mod fake;
#[cfg(unix)]
mod groups;
#[cfg(unix)]
pub mod install;
#[cfg(unix)]
pub mod loaded;
#[cfg(unix)]
pub mod machine;
#[cfg(unix)]
pub mod next_boot;
#[cfg(unix)]
pub mod nodes;
#[cfg(unix)]
mod owner;
#[cfg(unix)]
pub mod plugins;
#[cfg(unix)]
pub mod receipt;
#[cfg(unix)]
pub mod scan;
#[cfg(unix)]
pub mod strip;
#[cfg(unix)]
pub mod taken;
#[cfg(unix)]
pub mod trust;

pub use command::{Command, end_with_its_reader, ended, json};
pub use message::{Exit, Message};
