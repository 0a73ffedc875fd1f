//! The client library of apps: open a plugin, call it, receive its interrupts.
//!
//! ```no_run
//! # mod edu_interface {
//! #     kp_abi::interface! { pub mod edu, version 1 { fn factorial(n: u32) -> u32 = 1; fn raise(bits: u32) = 2; } }
//! # }
//! use edu_interface::edu; // what the plugin and its apps say to each other
//! use kp_user::{Enable, Plugin};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The lowest instance; "edu.1" is that one.
//! let plugin = Plugin::open_interface("edu", edu::INTERFACE, &[])?;
//! let device = edu::Client(&plugin);
//! assert_eq!(device.factorial(5)?, 120);
//!
//! // Wait for an interrupt …
//! let interrupts = plugin.interrupts(Enable::any())?;
//! device.raise(1)?;
//! let notification = interrupts.wait(Duration::from_secs(1))?;
//! println!("{} from vector {}", notification.got, notification.vector);
//!
//! // … or have a thread that does.
//! let thread = interrupts.on_notify(|notification| println!("{notification:?}"))?;
//! device.raise(1)?;
//! let counters = thread.disable()?;
//! assert_eq!(counters.notified, counters.delivered + counters.lost);
//! # Ok(())
//! # }
//! ```
//!
//! With several cards, [`OpenOptions::open_at`] opens the one at a bus address; [`Plugin::list`] says which there are.
//!
//! Many messages can go in one request: [`Batch`].
//!
//! A device that transfers by itself can reach memory of the app: a [`Buffer`], which messages name by its number.
//!
//! Dropping tidies up: the thread ends, the interrupt is disabled, the session closed, and last the handle.
//!
//! The same code runs over any [`Connection`], as with [`Plugin::over`]: a kernel's, or the simulator's in a test.
//!
//! All of it is the same on Linux and on Windows, but for what follows. `cargo doc` shows what the machine has that it runs on; with
//! `--target x86_64-pc-windows-gnu`, once that target is installed, what Windows has.
//!
//! | | Linux | Windows |
//! |---|---|---|
//! | `Node::open` | of a device node, `/dev/kp/edu.0` | of a name, `\\.\kp-edu.0` |
//! | waiting for an interrupt and for other things | `as_fd` of [`Interrupts`], [`Plugin`] and [`Connection`], for poll(2) | `Interrupts::start_wait`, which answers a `PendingWait` with a handle to wait for |
//! | without a kernel | `KP_NODE=card.sock` in the environment: [`Plugin::open`] and its like open that socket, which `cargo kp sim` serves (`docs/socket.md`) | |
//! | what else can carry requests | `Node`; [`ControlNode`] over a `Socket` | [`ControlNode`] over a [`DeviceControl`], `Handle` for one; a simulated one on any system |
#![deny(unsafe_code)]

mod address;
mod agreement;
mod batch;
mod buffer;
mod connection;
mod error;
mod handler;
mod interrupts;
#[cfg(target_os = "linux")]
mod linux;
mod listed;
mod mismatch;
mod name;
mod negotiate;
mod notification;
mod open;
mod pages;
mod plugin;
mod ring;
mod schema;
#[doc(hidden)]
pub mod sentences;
mod shared;
mod system;
mod windows;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(windows)]
use windows as platform;

pub use crate::windows::{ControlNode, DeviceControl};
#[cfg(windows)]
pub use crate::windows::{Handle, Node, PendingWait};
pub use address::{BadAddress, BusAddress};
pub use agreement::Agreement;
pub use batch::{Batch, Replies};
pub use buffer::{Access, Buffer};
pub use connection::Connection;
pub use error::{Cause, OpenError};
pub use handler::HandlerThread;
pub use interrupts::{Enable, Interrupts, Kind};
pub use kp_abi;
#[cfg(target_os = "linux")]
pub use linux::{Node, Socket};
pub use listed::Listed;
pub use mismatch::{Mismatch, Side};
pub use name::{BadName, Name};
pub use notification::{IntEnabled, Notification};
pub use open::OpenOptions;
pub use plugin::{NoWait, Plugin};
pub use ring::{Queues, Ring};
pub use schema::schema;
#[cfg(any(target_os = "linux", windows))]
pub use schema::schema_of;
pub use shared::SharedMemory;
