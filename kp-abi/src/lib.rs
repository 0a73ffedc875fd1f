//! The wire between an app and a kernel plugin: [requests](request), [messages](interface!), [plain data](wire!), their
//! [schema](Interface) as data and [as bytes](schema_bytes), and the [status table](Status). No allocation, no unsafe code.
//!
//! An interface crate depends on this crate alone. The layout in words: `docs/abi.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate self as kp_abi; // the derives that `wire!` writes name `kp_abi::zerocopy`

#[doc(hidden)]
pub use {bitflags, static_assertions, zerocopy};

mod batch;
mod interface;
pub mod limits;
mod message;
pub mod request;
pub mod ring;
mod schema;
pub mod schema_bytes;
pub mod socket;
mod status;
mod wire;

pub use batch::{Batching, Place, Queue, Ticket};
#[doc(hidden)]
pub use interface::__fields;
pub use message::{Arg, Direct, Element, Fixed, Message, Out, Reader, Reply, Slice, Transport, Writer};
pub use request::Counters;
pub use schema::{Field, Interface, Method, Shape, Type};
pub use status::{Error, Result, Status, StatusRow, TransportStatus};
pub use wire::{Buffer, Wire};

#[cfg(target_endian = "big")]
compile_error!("the wire is little-endian");
