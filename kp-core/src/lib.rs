//! Kernel plugins in Rust, written once: small drivers that become Linux kernel modules, Windows drivers and in-process test
//! builds from the same source.
//!
//! All that a plugin uses is named here: `cargo doc -p kp-core --open` has this page with its links, here or in a workspace of your own.
//! Messages are [`kp_abi`](../kp_abi/index.html)'s, tests `kp_sim`'s, apps `kp_user`'s.
//!
//! A plugin is one type with one trait per callback; only [`Init`] is needed. [`plugin!`] names and checks them.
//!
//! | callback | level | when |
//! |---|---|---|
//! | [`Init::init`] | [`Passive`] | a [`Device`] is bound, or the plugin is loaded |
//! | [`Open`]: `open`, `close` | [`Passive`] | an app opens and closes; [`Caller`] says who |
//! | [`Call`], written by [`plugin!`] from an interface | [`Passive`] | a message comes; calls may overlap |
//! | [`IntEnable`]: `int_enable`, `int_arm`, `int_disarm`, `int_disable` | [`Passive`] | an app enables the interrupt, and disables it, or the device comes and goes if the interrupt is the plugin's own; [`Enabling`] and [`Granted`] say which [`IrqKind`] it is |
//! | [`IntAtIrql`] | [`Irql`] | the device interrupts; [`Source`] says where, a [`Verdict`] is the answer |
//! | [`IntAtDpc`] | [`Dispatch`] | soon after, if `int_at_irql` deferred |
//! | [`TimerAtDpc`] | [`Dispatch`] | the time of a [`Timer`] has come |
//! | [`Work`] | [`Passive`] | a [`WorkItem`] was queued |
//! | [`Event`] | [`Passive`] | a [`Happening`]: the device is suspended, resumed, reset, removed; [`Deliver::Swallow`] is the answer |
//!
//! **Levels.** Where code runs is a value that it was lent: `cx: &mut Passive`, `&mut Dispatch` or `&mut Irql`. What may sleep
//! or allocate asks for `&mut Passive`, so it does not compile in an interrupt handler or with a spin lock held.
//! At Passive there are [`sleep_ms`](Passive::sleep_ms) and [`poll`](Passive::poll); `now_ns` and `stall_us` are everywhere.
//!
//! **Messages.** [`kp_abi::interface!`] declares them, [`kp_abi::wire!`] what they carry. The handler of one that answers a list gets an
//! [`Out`]. A plugin without an interface implements [`Call`], and gets a [`Message`] and a [`Reply`].
//!
//! **Shared state.** Callbacks take `&self` and may run at the same time. [`SpinLock<T, Irql>`](SpinLock) guards what the
//! interrupt touches, `SpinLock<T, Dispatch>` what `int_at_dpc` touches, [`Mutex<T>`](Mutex) the rest; atomics are fine anywhere.
//!
//! **Time.** A call waits in a [`WaitQueue`] until something else of the plugin, an `int_at_dpc` for one, has done what it waits for, and wakes
//! it; the wait ends with its session, as a sleep does. A [`Timer`] runs `timer_at_dpc` once or again and again, a [`WorkItem`] has a thread of
//! the kernel's run `work`: both are made in `init`, and end with the device.
//!
//! **Memory.** [`KBox`] and [`KVec`] are made at Passive and dropped anywhere; a [`Pool`] is made at Passive and allocated from
//! anywhere. Lack of memory is an error, never a stop.
//!
//! **Registers.** [`registers!`] declares a BAR's registers and their [`Field`]s, arrays and repeated blocks; [`Device::map`] maps them as a
//! [`Bar`], [`Device::map_ports`] those of a BAR of [`Ports`]; reading a write-only register does not compile. [`Regs`] has the [`Item`]s of
//! arrays, blocks and FIFOs. A [`Window`] is memory at offsets that are known at run time only, with the [`Caching`] that it wants.
//! `regs::Map::REGISTERS` is a map as data: a [`RegisterInfo`] for each line, a [`RegisterKind`] with its [`RegisterAccess`], and a [`FieldInfo`] for
//! its bits. [`log!`] writes to the kernel's log.
//!
//! **Device memory.** [`Device::dma`] says by [`DmaLimits`] what the device reaches, and answers its [`Dma`]. A [`Coherent`] is memory that both
//! share, and read and written as a map in [`Memory`]. [`Pages`] are the kernel's own, or an app's buffer; as an [`Area`] the plugin reads and
//! writes them, and a [`Mapping`] shows them to the device, in a [`Direction`]: [`ToDevice`], [`FromDevice`] or [`Both`]. What the device has
//! of these, an [`OnBus`], is an [`OnDevice`], which alone tells its [`BusAddress`] and [`Segments`], each a [`Segment`]; dropping one is always safe. A [`Transfer`] goes
//! part by part.
//!
//! **What is kept.** The [`Device`] is for `init`. A [`Bar`] may be kept, a [`Dma`], timers and work items, a [`Config`], which has the configuration
//! space ([`pci`]) and the device's reset, and [`Vectors`], which masks single messages.
//!
//! **Errors.** A callback answers a [`Status`], or [`Error::plugin`] with a number of its own, and the app gets just that. One that may not
//! ask for it gets `NOT_PERMITTED`. What only a [transport](kp_abi::TransportStatus) answers, `DENIED` for one, is no [`Error`].
//!
//! A whole plugin, for a card that ticks (`examples/ticker`):
//!
//! ```no_run,standalone_crate
//! #![no_std]
//! #![forbid(unsafe_code)]
//! # extern crate std;
//! use kp_core::*;
//!
//! registers! {
//!     mod regs[0x10] {
//!         0x00 TICKS: u32, RO;
//!         0x04 STATUS: u32, RO { TICKED = 0 };
//!         0x08 ACKNOWLEDGE: u32, WO;
//!     }
//! }
//!
//! kp_abi::interface! {
//!     /// What apps ask.
//!     pub mod ticker, version 1 {
//!         /// How often the card has ticked.
//!         fn ticks() -> u32 = 1;
//!     }
//! }
//!
//! /// One card.
//! pub struct Ticker(Bar<regs::Map>);
//!
//! impl Init for Ticker {
//!     type Session = ();
//!     type Interrupt = ();
//!     fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
//!         Ok(Ticker(device.map(cx, 0)?))
//!     }
//! }
//!
//! impl ticker::Handler<Passive> for Ticker {
//!     fn ticks(&self, _: &mut Passive, _session: &()) -> Result<u32> {
//!         Ok(self.0.read(regs::TICKS))
//!     }
//! }
//!
//! impl IntAtIrql for Ticker {
//!     fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
//!         if !regs::STATUS::TICKED.is_set(self.0.read(regs::STATUS)) {
//!             return Verdict::NOT_MINE;
//!         }
//!         self.0.write(regs::ACKNOWLEDGE, 1);
//!         Verdict::DEFER // and so the app that waits is woken
//!     }
//! }
//!
//! plugin! { Ticker { name: "ticker", devices: [0x1234:0x5678], interface: ticker, callbacks: [IntAtIrql] } }
//! # fn main() {}
//! ```
//!
//! What runs a plugin is a port: it implements [`host::Kernel`] and calls [`host::BoundDevice`]. Plugins need neither.
#![no_std]
#![cfg_attr(kp_driver, feature(optimize_attribute))]
#![deny(unsafe_code)]

extern crate self as kp_core; // so that `plugin!` and `registers!` work in this crate too
#[cfg(test)]
extern crate std;

mod callbacks;
#[expect(unsafe_code, reason = "makes a BAR of what it has mapped")]
mod device;
#[expect(unsafe_code, reason = "shares memory with devices")]
mod dma;
#[expect(unsafe_code, reason = "calls the port's functions, and is called by it")]
pub mod host;
#[expect(unsafe_code, reason = "makes the levels, which are proofs")]
mod level;
#[expect(unsafe_code, reason = "shares data under a kernel's lock")]
mod lock;
mod log;
mod matching;
#[expect(unsafe_code, reason = "manages memory")]
mod mem;
pub mod pci;
mod plugin;
#[expect(unsafe_code, reason = "touches device registers")]
mod regs;
#[expect(unsafe_code, reason = "keeps what the device's removal empties")]
mod time;
mod vectors;
mod wait_queue;

pub use callbacks::{
    Call, Caller, Deliver, Enabling, Event, Granted, Happening, Init, IntAtDpc, IntAtIrql, IntEnable, IrqKind, Open,
    Source, TimerAtDpc, Verdict, Work,
};
pub use device::Device;
pub use dma::{
    Area, Both, BusAddress, Coherent, Direction, Dma, DmaLimits, FromDevice, Mapping, OnBus, OnDevice, Pages, Segment,
    Segments, ToDevice, Transfer,
};
pub use host::Caching;
pub use kp_abi::{Error, Message, Out, Reply, Result, Status};
pub use level::{AtMost, Ceiling, Dispatch, Irql, Level, Passive};
pub use lock::{Mutex, SpinLock};
pub use matching::MatchId;
pub use mem::{KBox, KVec, Pool, PoolBox};
pub use pci::Config;
pub use plugin::{IntTable, Plugin, Table};
pub use regs::{
    Array, Bar, BarSpace, Blocks, Field, FieldInfo, Item, Memory, Mmio, Ports, Readable, Register, RegisterAccess,
    RegisterInfo, RegisterKind, RegisterMap, Regs, Single, Space, Width, Window, Writable,
};
pub use time::{Timer, WorkItem};
pub use vectors::Vectors;
pub use wait_queue::WaitQueue;

use kp_abi::limits;
#[doc(hidden)]
pub use {
    kp_abi,
    log::{Place as __LogPlace, write as __log},
};

/// What `registers!` expands to.
#[doc(hidden)]
pub mod __registers {
    pub use crate::regs::{is_placed, line, widest};
}

/// What `plugin!` expands to.
#[doc(hidden)]
pub mod __plugin {
    pub use crate::plugin::{Absent, Probe, check_name, check_own_interrupt, check_vectors, contains};
}
