//! A plugin behind a socket, in real time: apps of any language open it in the place of a device node, by the environment variable `KP_NODE`.
//! `docs/socket.md` has the protocol. On Linux.
//!
//! `cargo kp sim` makes a program of this for a plugin and its model. A test in Rust can have it in its own process:
//!
//! ```no_run
//! # use kp_sim::{Sim, edu::Edu, socket::Server};
//! # fn f<P: kp_core::Plugin>() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::start(Sim::<P>::builder().device(Edu::new()), "card.sock".as_ref(), None)?;
//! // Programs with KP_NODE=card.sock in their environment …
//! server.end(); // nothing of the plugin may be left
//! # Ok(()) }
//! ```
//!
//! - `frame`: the frames, read and written.
//! - `server`: who connects.
//! - `handle`: one handle, and what is connected to it.
//! - `connection`, and its two kinds, `requests` and `poll`.
//! - `record`: what was asked, as lines.
//! - `program`: the program that `cargo kp sim` runs; `linux`: what it needs of the system beside std.
mod connection;
mod frame;
mod handle;
mod linux;
mod poll;
mod program;
mod record;
mod requests;
mod server;

#[doc(hidden)]
pub use program::program;
pub use server::{Server, StartError};
