//! What `cargo kp` and the small program `kp` share: all that needs no compiler.
//!
//! [`Message`] is the catalogue of what both refuse, each with the exit code that a script sees.
#![forbid(unsafe_code)]

mod message;

pub use message::{Exit, Message};
