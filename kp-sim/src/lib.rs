//! A simulated kernel with simulated devices, in the test process: where a plugin's own tests run.
//!
//! A [`Sim`] is a kernel with one plugin loaded, bound to a device model or to none. Many may live in one process. Apps open
//! it with the client library, and everything they send goes through the same request code as in a real kernel, from
//! simulated user memory.
//!
//! ```
//! use kp_core::*;
//! use kp_sim::Sim;
//!
//! struct Adder;
//! impl Init for Adder {
//!     type Session = ();
//!     type Interrupt = ();
//!     fn init(_: &mut Passive, _: Device) -> Result<Self> {
//!         Ok(Adder)
//!     }
//! }
//! kp_abi::interface! {
//!     mod adder, version 1 {
//!         fn add(a: u32, b: u32) -> u32 = 1;
//!     }
//! }
//! impl adder::Handler<Passive> for Adder {
//!     fn add(&self, _: &mut Passive, _: &(), a: u32, b: u32) -> Result<u32> {
//!         a.checked_add(b).ok_or(Status::BAD_VALUE.into())
//!     }
//! }
//! plugin! { Adder { name: "adder", interface: adder, callbacks: [] } }
//!
//! let sim = Sim::<Adder>::new().unwrap();
//! let plugin = sim.connect(adder::INTERFACE).unwrap();
//! assert_eq!(adder::Client(&plugin).add(2, 3), Ok(5));
//! assert_eq!(adder::Client(&plugin).add(u32::MAX, 1), Err(Status::BAD_VALUE.into()));
//! ```
//!
//! **What it punishes.** Each of these panics, and so fails the test: an interrupt that never ends, unless the test asks for
//! [`Sim::storms`]; a model whose numbers the plugin does not list; memory, locks, mappings, vectors or handles left at
//! unload; memory freed twice or with another size; a register access outside of what is mapped; a lock taken twice by one
//! thread, or two locks in two orders; a lock held at the return from a call; a kernel function called above its level.
//! New memory is full of 0xA5. What is dropped at Irql is freed later, and counted.
//!
//! **What fails.** [`Builder::fail_nth`] makes the nth fallible kernel call fail, and [`every_failure`] tells a test's story with each of
//! them failing in its turn. A panic in plugin code poisons its kernel, as in a real one: it is in the [log](Sim::log), and
//! requests answer `POISONED`. Here the stack unwinds, so locks come free; a real kernel's do not.
//!
//! **Interrupts.** Hardware is a [`device::DeviceModel`]: [`edu::Edu`], QEMU's own device by `qtest::Qemu`, except on Windows, or a model of
//! your own. Whenever it raises its line or sends a message, `int_at_irql` runs at Irql on a thread whose level lets it, and
//! `int_at_dpc` at Dispatch.
//!
//! **Timers and work items.** A timer runs at Dispatch, as soon after its time as a thread in the kernel, or [`Sim::advance`], lets it; a work
//! item on a thread of its own.
//!
//! **Time** is simulated. It passes by [`Sim::advance`], when the clock is read, and while threads sleep or wait: by the schedule in a seeded
//! [`World`]; in a test with threads of std as long as they really sleep, and somewhat longer.
//!
//! **Races.** In a test with threads of std, threads run as they like. In a seeded [`World`] one thread runs at a time, and at
//! each kernel call a random number says who goes on and whether an interrupt comes now. [`explore`] runs a story with many
//! seeds; [`replay`] runs a seed again, the same in every event. Nothing is interrupted between two kernel calls, so a race of
//! plain memory accesses with no register, lock or kernel call between them is not found.
//!
//! ```
//! # use kp_core::*;
//! # struct Adder;
//! # impl Init for Adder {
//! #     type Session = ();
//! #     type Interrupt = ();
//! #     fn init(_: &mut Passive, _: Device) -> Result<Self> {
//! #         Ok(Adder)
//! #     }
//! # }
//! # kp_abi::interface! { mod adder, version 1 { fn nap(ms: u32) = 1; } }
//! # impl adder::Handler<Passive> for Adder {
//! #     fn nap(&self, cx: &mut Passive, _: &(), ms: u32) -> Result<()> {
//! #         cx.sleep_ms(ms)
//! #     }
//! # }
//! # plugin! { Adder { name: "adder", interface: adder, callbacks: [] } }
//! use kp_sim::{Sim, explore};
//!
//! explore(0..50, |world| {
//!     let sim = Sim::<Adder>::new().unwrap();
//!     let plugin = sim.connect(adder::INTERFACE).unwrap();
//!     world.scope(|scope| {
//!         scope.spawn("sleeper", || {
//!             let slept = adder::Client(&plugin).nap(1000);
//!             assert!(slept.is_ok() || slept == Err(Status::DEVICE_GONE.into()));
//!         });
//!         scope.spawn("remover", || sim.remove(true));
//!     });
//! });
//! ```
mod app;
mod boot;
mod bus;
mod clock;
mod config_space;
mod context;
mod control_request;
pub mod device;
mod dma;
pub mod edu;
mod explore;
mod failures;
mod heap;
mod level;
mod live;
mod loaded;
mod locks;
mod machine;
mod misuse;
mod page;
mod panics;
mod port;
mod process;
#[cfg(unix)]
pub mod qtest;
mod random;
mod schedule;
mod sim;
#[cfg(target_os = "linux")]
pub mod socket;
mod sync;
mod task;
mod timers;
mod trace;
mod user_memory;
mod user_request;
mod vectors;
mod words;
mod work_items;

pub use app::{App, Mode};
pub use config_space::ConfigSpace;
pub use explore::{Run, Scope, World, explore, find, replay};
pub use failures::every_failure;
pub use kp_core::host::Readiness;
pub use live::Live;
pub use page::{KERNEL_AT, PAGE};
pub use process::Process;
pub use random::Random;
pub use sim::{Builder, Busy, Sim};
pub use trace::{Event, Trace};
pub use user_memory::{Access, UserMemory};
