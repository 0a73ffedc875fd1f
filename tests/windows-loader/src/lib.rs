//! Runs a Windows driver's real `.sys` in a Linux process: its machine code, over a simulated NT kernel that is strict.
//!
//! For a test of one's own driver see `docs/loader.md`: its example is `tests/own_driver.rs`.
//!
//! ```no_run
//! use windows_loader::{Assigned, Buffer, Machine, Mode, Token, access, build};
//! # fn model() -> impl kp_sim::device::DeviceModel { kp_sim::edu::Edu::new() }
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let machine = Machine::default();
//! let driver = machine.start(&build("edu")?)?;
//! let device = machine.attach(model(), &driver, Assigned::Line)?;
//! let process = machine.process(Token::Administrator);
//! let handle = process.open(r"\\.\kp-edu.0", access::READ | access::WRITE, Mode::Overlapped).expect("it opens");
//! let mut reply = [0; 64];
//! let done = handle.control(0x8B50_2000, Buffer::input(&[0; 64]), Buffer::output(&mut reply));
//! assert_eq!(done.status, 0);
//! handle.close();
//! device.unplug()?;
//! driver.unload()?;
//! machine.finish(); // fails if anything was left behind
//! # Ok(()) }
//! ```
//!
//! Each kernel function that the driver calls is checked: its IRQL, and what the kernel documents about its arguments. A broken rule,
//! a fault that no handler takes, or a bug check ends the run with a [`Verdict`]; every function here panics with it then.
//!
//! What is not simulated: preemption (each thread is a processor of its own), paging, and whatever a driver does not import through
//! the table in `exports`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "what drivers pass is one promise: that it is what the kernel documents"
)]

pub mod broken_driver;
mod buffers;
mod built;
mod bus;
mod calls;
mod client;
mod counted_text;
mod cpu;
mod device_interface;
mod dispatcher;
mod dpc;
mod dump;
mod exports;
mod fault_injection;
mod file;
mod image;
mod interrupt;
mod irp;
mod kernel;
mod mmio;
pub mod nt;
mod objects;
mod observed;
mod page_list;
mod passed_on;
mod pdo;

mod pool;
mod ports;
mod power;
mod process;

mod remove_lock;
mod resources;
mod rule;
mod security;
mod service;
mod slot;
mod space;
mod spin;
mod steps;
mod thunk;
mod timer;
mod transfers;
mod trap;
mod unwind;
mod work;

pub use buffers::Buffer;
pub use built::{BuildError, build};
pub use bus::{Assigned, Device};
pub use calls::fallible_calls;
pub use exports::{ONLY, Processor};
pub use fault_injection::{Site, Sites};
pub use file::{Done, Handle, Pending};
pub use kernel::{Machine, Options, Verdict};
pub use observed::Handlers;
pub use passed_on::Stranger;
pub use pdo::NAME_OF_MSIX_TABLE as MSIX_TABLE_INTERFACE;
pub use process::{Mode, Process};
pub use resources::Shape;
pub use rule::{Broken, Rule, Source};
pub use security::{Dacl, Entry, Token, access};
pub use service::{Driver, StartError, Stopped};
pub use steps::{Reason, Refused};
