//! A simulated kernel with simulated devices, in the test process.
mod app;
mod bus;
mod context;
pub mod device;
pub mod edu;
mod explore;
mod interrupt;
mod locks;
mod machine;
mod memory;
mod port;
pub mod qtest;
mod schedule;
mod sim;
mod trace;
mod user;
mod verdict;

pub use app::{App, Mode};
pub use explore::{Run, Scope, World, explore, find, replay};
pub use kp_core::host::Readiness;
pub use memory::Live;
pub use sim::{Builder, Busy, Sim};
pub use trace::{Event, Trace};
pub use user::{Access, KERNEL_AT, PAGE, Process, UserMemory};
