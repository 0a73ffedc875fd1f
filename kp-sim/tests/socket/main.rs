//! A plugin behind a socket: what docs/socket.md says, and that a client which breaks the rules harms itself alone.
#![cfg(all(target_os = "linux", not(miri)))]
mod apps;
mod client;
mod frames;
mod hostile;
mod lives;
mod polled;
#[path = "../../../kp-core/tests/test_plugin/mod.rs"]
mod test_plugin;
