//! The whole contract of a port: [`Kernel`], about 40 static functions.
//!
//! There is one kernel per binary, chosen when it is linked: [`kernel!`](crate::kernel!) exports a port's functions as symbols,
//! kp-core calls the symbols, and link-time optimisation makes direct calls of them. Trait, imports and exports are written from
//! the one list below, so they cannot disagree.
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A lock that the port made. Never looked into.
#[repr(C)]
pub struct RawLock {
    _opaque: [u8; 0],
}

/// Something to wait on that the port made. Never looked into.
#[repr(C)]
pub struct RawWaitQueue {
    _opaque: [u8; 0],
}

/// Kinds of [`RawLock`].
pub mod lock_kind {
    /// Its holder may sleep. Passive.
    pub const MUTEX: u32 = 0;
    /// Holds off everything up to Dispatch. Taken at Passive and Dispatch.
    pub const DISPATCH: u32 = 1;
    /// Holds off the device's interrupts too. Taken at any level.
    pub const IRQL: u32 = 2;
    /// No lock: a place in the order in which locks are taken, for what is waited for like one. Taking it does nothing, or notes the order
    /// for whoever looks for deadlocks in this kernel. Taken at Passive.
    pub const ORDER: u32 = 3;
}

/// What may end a wait early.
pub mod wait_kind {
    /// Nothing but the change; and, if the wait has no time limit, a panic of plugin code. For tear-down: the kernel must not freeze the task,
    /// and should take a wait that lasts for minutes for a hang.
    pub const UNINTERRUPTIBLE: u32 = 0;
    /// A signal that ends the process, or a panic of plugin code. The kernel must not freeze the task meanwhile: it is inside a call, for
    /// which a removal waits.
    pub const KILLABLE: u32 = 1;
    /// Any signal, or a panic of plugin code. The kernel may freeze the task meanwhile.
    pub const INTERRUPTIBLE: u32 = 2;
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Woken {
    /// The word has changed, or plugin code has panicked.
    Changed = 0,
    /// The time is up.
    Timeout = 1,
    /// A signal came.
    Interrupted = 2,
}

/// What the port calls when the device interrupts.
#[derive(Clone, Copy)]
pub struct IrqEntry {
    /// First argument of both functions.
    pub cookie: *const (),
    /// Runs the plugin's `int_at_irql` for vector `n`, at Irql. True: the interrupt was this device's.
    pub isr: unsafe fn(cookie: *const (), vector: u32) -> bool,
    /// Runs the plugin's `int_at_dpc` for vector `n`, at Dispatch; never twice at once for one vector.
    pub dpc: unsafe fn(cookie: *const (), vector: u32),
}
// SAFETY: the cookie is an address that only the two functions look into; they may run on any thread.
unsafe impl Send for IrqEntry {}

/// A word of the calling task's. While it has none of the mask's bits, [`Kernel::cond_resched`] has nothing to do, and is not called.
#[derive(Clone, Copy, Debug)]
pub struct TaskFlags {
    word: *const AtomicUsize,
    mask: usize,
}

impl TaskFlags {
    /// # Safety
    /// The word is there as long as the calling task runs.
    pub unsafe fn new(word: *const AtomicUsize, mask: usize) -> Self {
        Self { word, mask }
    }

    /// In the task that it was made for: is there something to do?
    #[inline(always)]
    pub(super) fn needs_resched(&self) -> bool {
        // SAFETY: the word is there: `new`'s promise.
        unsafe { &*self.word }.load(Relaxed) & self.mask != 0
    }
}

/// The vectors that a device was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// One of [`kp_abi::request::kind`].
    pub kind: u32,
    /// How many, at least 1.
    pub count: u32,
}

/// The list of kernel functions, once.
#[doc(hidden)]
#[macro_export]
macro_rules! __kernel_functions {
    ([$($callback:tt)+] $($prefix:tt)*) => { $($callback)+! { $($prefix)*
        /// Non-paged memory, or null. Passive.
        safe fn alloc(size: usize, align: usize) -> *mut u8;
        /// Gives back what `alloc` gave for the same size and alignment. Any level: a port defers what its kernel cannot do there.
        unsafe fn free(memory: *mut u8, size: usize, align: usize) -> ();
        /// Writes one line to the kernel's log. Any level.
        safe fn log(text: &str) -> ();
        /// Is a place in the source that writes line after line to be slowed down? Any level; it must not change.
        safe fn log_is_limited() -> bool;
        /// Time since some start, in ns. Any level.
        safe fn now_ns() -> u64;
        /// Spins for `us` microseconds, at most 50. Any level.
        safe fn stall_us(us: u32) -> ();
        /// Sleeps for `ns`; nothing ends it early. Passive.
        safe fn sleep_ns(ns: u64) -> ();
        /// Has plugin code of this kernel panicked? Any level.
        safe fn poisoned() -> bool;
        /// The calling task's number, not 0. Passive.
        safe fn task() -> u32;
        /// Did this task panic in plugin code, and never return from it? False for 0. Passive.
        safe fn is_dead(task: u32) -> bool;

        /// Can an app map memory of `alloc_mmap_pages`? If not, there are no rings. Any level.
        safe fn can_mmap() -> bool;
        /// Whole pages of zeros that an app may map, at a page, or null. Passive.
        safe fn alloc_mmap_pages(len: usize) -> *mut u8;
        /// The kernel's side gives them up; an app that has them mapped keeps them as long. Passive.
        unsafe fn free_mmap_pages(memory: *mut u8, len: usize) -> ();
        /// How the calling task finds out that `cond_resched` has something to do. Passive.
        safe fn task_flags() -> $crate::host::TaskFlags;
        /// Between two messages of a batch: lets others run if it is time for that, and the kernel freeze the task. True: the task is being
        /// killed. Passive.
        safe fn cond_resched() -> bool;

        /// A lock of this kind, or null. Passive. It stays where it is. `made` is where the source makes it: whoever looks for deadlocks takes
        /// the locks of one kind that one place makes for alike, and all others for different.
        safe fn lock_new(kind: u32, made: &'static core::panic::Location<'static>) -> *mut $crate::host::RawLock;
        /// Frees a lock that nobody holds. Any level, as `free`.
        unsafe fn lock_free(lock: *mut $crate::host::RawLock, kind: u32) -> ();
        /// Takes a lock; the answer goes to the matching `lock_release`.
        unsafe fn lock_acquire(lock: *mut $crate::host::RawLock, kind: u32) -> usize;
        /// Releases a lock; locks are released in the reverse order of their taking.
        unsafe fn lock_release(lock: *mut $crate::host::RawLock, kind: u32, saved: usize) -> ();

        /// Something to wait on, or null. Passive.
        safe fn wait_queue_new() -> *mut $crate::host::RawWaitQueue;
        /// Frees a signal that nobody waits on. Passive.
        unsafe fn wait_queue_free(signal: *mut $crate::host::RawWaitQueue) -> ();
        /// Waits until `*word != seen`, at most `ns` (`u64::MAX`: no limit), unless what `kind` names comes first. Looks at the word again
        /// after every `wait_queue_wake`; a change without a wake may go unseen. A wait that a signal can end never goes on once `poisoned` is
        /// true: it is Changed then. Passive.
        unsafe fn wait_queue_wait(signal: *mut $crate::host::RawWaitQueue, word: &core::sync::atomic::AtomicU32, seen: u32, ns: u64, kind: u32) -> $crate::host::Woken;
        /// Wakes all who wait on the signal. Passive and Dispatch.
        unsafe fn wait_queue_wake(signal: *mut $crate::host::RawWaitQueue) -> ();

        /// One aligned read of a mapped register. Any level.
        unsafe fn mmio_read8(address: usize) -> u8;
        /// One aligned read of a mapped register. Any level.
        unsafe fn mmio_read16(address: usize) -> u16;
        /// One aligned read of a mapped register. Any level.
        unsafe fn mmio_read32(address: usize) -> u32;
        /// One aligned read of a mapped register. Any level.
        unsafe fn mmio_read64(address: usize) -> u64;
        /// One aligned write to a mapped register. Any level.
        unsafe fn mmio_write8(address: usize, value: u8) -> ();
        /// One aligned write to a mapped register. Any level.
        unsafe fn mmio_write16(address: usize, value: u16) -> ();
        /// One aligned write to a mapped register. Any level.
        unsafe fn mmio_write32(address: usize, value: u32) -> ();
        /// One aligned write to a mapped register. Any level.
        unsafe fn mmio_write64(address: usize, value: u64) -> ();

        /// Maps the first `len` bytes of a memory BAR, uncached; 0 if it cannot. Passive.
        safe fn map(device: usize, bar: usize, len: usize) -> usize;
        /// Undoes `map`. Any level, as `free`.
        unsafe fn unmap(base: usize, len: usize) -> ();
        /// Lets the device start transfers of its own, or stops it. Passive.
        safe fn bus_master(device: usize, on: bool) -> ();
        /// Reads 1, 2 or 4 bytes of configuration space; all ones without a device. Passive.
        safe fn config_read(device: usize, offset: u32, width: u32) -> u32;
        /// Writes 1, 2 or 4 bytes of configuration space. Passive.
        safe fn config_write(device: usize, offset: u32, width: u32, value: u32) -> ();

        /// Gets vectors of one of these kinds, best first, at least `min` and at most `max`; the device cannot interrupt yet. Passive.
        safe fn irq_prepare(device: usize, kinds: u32, min: u32, max: u32) -> $crate::Result<$crate::host::Vectors>;
        /// Connects `entry` to every vector of `irq_prepare`, or to none. From now on it may be called. Passive.
        unsafe fn irq_connect(device: usize, entry: $crate::host::IrqEntry) -> $crate::Result<()>;
        /// Disconnects; nothing if nothing is connected. Returns after the last ISR and DPC have returned and no DPC is queued. Passive.
        unsafe fn irq_disconnect(device: usize) -> ();
        /// Gives the vectors of `irq_prepare` back; nothing if there are none. Passive.
        safe fn irq_release(device: usize) -> ();
        /// Keeps a vector that never ends from interrupting, at once or soon; `irq_disconnect` undoes it. True: it was this device's doing, and
        /// it is kept from it now. False: it goes on for all that the port knows, for instance since another device raises the line. Irql.
        safe fn irq_mask(device: usize, vector: u32) -> bool;
        /// Has the entry's `dpc` run for this vector, once, soon. Irql and Dispatch, while connected.
        safe fn dpc_queue(device: usize, vector: u32) -> ();
    } };
}

macro_rules! declare {
    ($($(#[$meta:meta])* $safety:ident fn $name:ident ( $($argument:ident : $type:ty),* ) -> $answer:ty;)*) => {
        /// What a port implements, and all of it.
        ///
        /// # Safety
        /// Each function does what its own line says, at the levels it names. `device` is what the port gave to
        /// [`RawDevice::new`](crate::host::RawDevice::new), or 0 for a plugin that drives none; the interrupt functions are called for one device
        /// by one thread at a time, in the order prepare, connect, disconnect, release.
        pub unsafe trait Kernel {
            $( $crate::__kernel_function! { trait [$(#[$meta])*] $safety $name ($($argument: $type),*) $answer } )*
        }
        /// The port's functions, as kp-core calls them.
        pub(crate) mod kernel {
            #[expect(unused_imports, reason = "types in the list are named by full path")]
            use super::*;
            unsafe extern "Rust" {
                $( $(#[$meta])* #[link_name = concat!("__kp1_", stringify!($name))] pub $safety fn $name($($argument: $type),*) -> $answer; )*
            }
        }
    };
}
__kernel_functions! { [declare] }

/// One function of the list: as the trait's, or as the export of kernel `K`.
#[doc(hidden)]
#[macro_export]
macro_rules! __kernel_function {
    (trait [$(#[$meta:meta])*] safe $name:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        $(#[$meta])* fn $name($($argument: $type),*) -> $answer;
    };
    (trait [$(#[$meta:meta])*] unsafe $name:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        $(#[$meta])*
        #[doc = "\n# Safety\nThe caller holds what the first line asks for; pointers come from this kernel and are alive."]
        unsafe fn $name($($argument: $type),*) -> $answer;
    };
    (export safe $kernel:ident $name:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        #[unsafe(export_name = concat!("__kp1_", stringify!($name)))]
        fn $name($($argument: $type),*) -> $answer {
            <$kernel as $crate::host::Kernel>::$name($($argument),*)
        }
    };
    (export unsafe $kernel:ident $name:ident ($($argument:ident: $type:ty),*) $answer:ty) => {
        #[unsafe(export_name = concat!("__kp1_", stringify!($name)))]
        unsafe fn $name($($argument: $type),*) -> $answer {
            // SAFETY: kp-core calls with what the list asks for.
            unsafe { <$kernel as $crate::host::Kernel>::$name($($argument),*) }
        }
    };
}

/// Exports a port's functions to kp-core. Once per binary: a second kernel is a link error.
#[macro_export]
macro_rules! kernel {
    ($kernel:ident) => {
        const _: () = {
            $crate::__kernel_functions! { [$crate::__kernel_export] ($kernel) }
        };
    };
}
#[doc(hidden)]
#[macro_export]
macro_rules! __kernel_export {
    (($kernel:ident) $($(#[$meta:meta])* $safety:ident fn $name:ident ( $($argument:ident : $type:ty),* ) -> $answer:ty;)*) => {
        $( $crate::__kernel_function! { export $safety $kernel $name ($($argument: $type),*) $answer } )*
    };
}
