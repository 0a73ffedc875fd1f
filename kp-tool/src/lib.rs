//! What `cargo kp` and the small program `kp` share: all that needs no compiler.
//!
//! [`Message`] is the catalogue of what both refuse, each with the exit code that a script sees. [`commands`] are those of `kp`.
//! [`schema`] is a plugin's messages as data.
#![forbid(unsafe_code)]

mod command;
#[cfg(unix)]
pub mod commands;
mod message;
pub mod schema;

pub use command::{Command, ended, json};
pub use message::{Exit, Message};
