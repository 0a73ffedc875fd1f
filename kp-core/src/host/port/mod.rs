//! The whole contract of a port: one trait for each topic, and [`Kernel`], which is all of them.
//!
//! There is one kernel per binary, chosen when it is linked: [`kernel!`](crate::kernel!) exports a port's functions as symbols,
//! kp-core calls the symbols, and link-time optimisation makes direct calls of them. Each topic's trait, imports and exports are
//! written by `contract!` from one list, so they cannot disagree. `tests/null-port` is the smallest crate that implements it all: a new
//! port begins as a copy of it.
mod dma;
mod irq;
mod lock;
mod log;
mod memory;
mod mmap;
mod mmio;
mod pages;
mod pci;
mod port_io;
mod task;
mod time;
mod timer;
mod wait_queue;
mod work_item;

pub use dma::{CoherentMemory, Dma, DmaDirection, DmaId, RawMapping};
pub use irq::{Irq, IrqEntry, IrqKinds, IrqRequest, PreparedVectors};
pub use lock::{Lock, LockKind, RawLock};
pub use log::Log;
pub use memory::Memory;
pub use mmap::Mmap;
pub use mmio::Mmio;
pub use pages::{Pages, RawPages};
pub use pci::{BarIndex, BarKind, Caching, ConfigWidth, DeviceId, IoMapping, Pci, RawBar};
pub use port_io::PortIo;
pub use task::{Task, TaskFlags, TaskId};
pub use time::{Time, Timeout};
pub use timer::{RawTimer, TimerEntry, Timers};
pub use wait_queue::{RawWaitQueue, WaitKind, WaitQueues, Woken};
pub use work_item::{RawWorkItem, WorkEntry, WorkItems};

/// What a port implements for kp-core to call: all topics.
///
/// # Safety
/// The functions of all topics work together as one kernel's: what one gives, the others take. [`kernel!`](crate::kernel!) has kp-core call
/// them.
pub unsafe trait Kernel:
    Memory + Log + Time + Task + Lock + WaitQueues + Timers + WorkItems + Mmio + PortIo + Pci + Irq + Dma + Pages + Mmap
{
}

/// The port's functions, as kp-core calls them.
pub(crate) mod kernel {
    pub(crate) use super::{
        dma::imports::*, irq::imports::*, lock::imports::*, log::imports::*, memory::imports::*, mmap::imports::*,
        mmio::imports::*, pages::imports::*, pci::imports::*, port_io::imports::*, task::imports::*, time::imports::*,
        timer::imports::*, wait_queue::imports::*, work_item::imports::*,
    };
}

/// The types of the contract, for the exports that [`kernel!`](crate::kernel!) writes into a port.
#[doc(hidden)]
pub mod types {
    pub use super::{
        BarIndex, Caching, CoherentMemory, ConfigWidth, DeviceId, DmaDirection, DmaId, IoMapping, IrqEntry, IrqRequest,
        LockKind, PreparedVectors, RawLock, RawMapping, RawPages, RawTimer, RawWaitQueue, RawWorkItem, TaskFlags,
        TaskId, Timeout, TimerEntry, WaitKind, Woken, WorkEntry,
    };
    pub use crate::{DmaLimits, Result};
    /// Only a kernel's functions are exported.
    pub const fn is_kernel<K: super::Kernel>() {}
    pub use core::{alloc::Layout, num::NonZeroUsize, panic::Location, ptr::NonNull, sync::atomic::AtomicU32};
}

/// One topic of the contract, `unsafe` if memory safety rests on it: from one list of functions its trait, the imports that kp-core calls, and the macro that exports a
/// port's functions. `$d` is a dollar sign, for that macro.
macro_rules! contract {
    (
        ($d:tt)
        $(#[$about:meta])*
        $promise:ident trait $topic:ident, exported by $export:ident;
        $($(#[$meta:meta])* $safety:ident fn $name:ident ( $($argument:ident : $type:ty),* $(,)? ) -> $answer:ty;)*
    ) => {
        contract! { $promise [$(#[$about])*] $topic {
            $( $crate::__contract_function! { trait [$(#[$meta])*] $safety $name ($($argument: $type),*) $answer } )*
        } }

        pub(crate) mod imports {
            #[allow(unused_imports, reason = "not every topic needs each type")]
            use crate::host::port::types::*;
            unsafe extern "Rust" {
                $( $(#[$meta])* #[link_name = concat!("__kp1_", stringify!($name))] pub $safety fn $name($($argument: $type),*) -> $answer; )*
            }
        }

        /// Exports this topic's functions of a port.
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $export {
            ($d kernel:ident) => {
                const _: () = {
                    #[allow(unused_imports, reason = "not every topic needs each type")]
                    use $d crate::host::port_types::*;
                    $( $d crate::__contract_function! { export $safety $d kernel $topic $name ($($argument: $type),*) $answer } )*
                };
            };
        }
    };
    (safe [$(#[$about:meta])*] $topic:ident { $($functions:tt)* }) => {
        $(#[$about])*
        pub trait $topic { $($functions)* }
    };
    (unsafe [$(#[$about:meta])*] $topic:ident { $($functions:tt)* }) => {
        $(#[$about])*
        ///
        /// # Safety
        /// Each function does what its own line says, at the levels that it names.
        pub unsafe trait $topic { $($functions)* }
    };
}
use contract;

/// One function of a topic: as the trait's, or as the export of kernel `K`.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_function {
    (trait [$(#[$meta:meta])*] safe $name:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        $(#[$meta])* fn $name($($argument: $type),*) -> $answer;
    };
    (trait [$(#[$meta:meta])*] unsafe $name:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        $(#[$meta])*
        #[doc = "\n# Safety\nThe caller holds what the first line asks for; what it passes came from this kernel and is alive."]
        unsafe fn $name($($argument: $type),*) -> $answer;
    };
    (export safe $kernel:ident $topic:ident $name:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        #[unsafe(export_name = concat!("__kp1_", stringify!($name)))]
        fn $name($($argument: $type),*) -> $answer {
            const { $crate::host::port_types::is_kernel::<$kernel>() }
            <$kernel as $crate::host::$topic>::$name($($argument),*)
        }
    };
    (export unsafe $kernel:ident $topic:ident $name:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        #[unsafe(export_name = concat!("__kp1_", stringify!($name)))]
        unsafe fn $name($($argument: $type),*) -> $answer {
            const { $crate::host::port_types::is_kernel::<$kernel>() }
            // SAFETY: kp-core calls with what the contract asks for.
            unsafe { <$kernel as $crate::host::$topic>::$name($($argument),*) }
        }
    };
}

/// Exports a port's functions to kp-core. Once per binary: a second kernel is a link error.
#[macro_export]
macro_rules! kernel {
    ($kernel:ident) => {
        const _: () = $crate::host::port_types::is_kernel::<$kernel>();
        $crate::__export_memory! { $kernel }
        $crate::__export_log! { $kernel }
        $crate::__export_time! { $kernel }
        $crate::__export_task! { $kernel }
        $crate::__export_lock! { $kernel }
        $crate::__export_wait_queues! { $kernel }
        $crate::__export_timers! { $kernel }
        $crate::__export_work_items! { $kernel }
        $crate::__export_mmio! { $kernel }
        $crate::__export_port_io! { $kernel }
        $crate::__export_pci! { $kernel }
        $crate::__export_irq! { $kernel }
        $crate::__export_dma! { $kernel }
        $crate::__export_pages! { $kernel }
        $crate::__export_mmap! { $kernel }
    };
}
