//! The client library of apps: open a plugin, call it, receive its interrupts.
#![deny(unsafe_code)]

mod connection;

pub use connection::{Connection, IntEnabled, Notification};
pub use kp_abi;
