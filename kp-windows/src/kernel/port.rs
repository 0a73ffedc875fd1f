//! The kernel functions of kp-core.
use crate::{
    device::{
        hardware::Hardware,
        interrupt::{self, Interrupt},
        mapping,
    },
    kernel::{
        irql, lock, memory,
        names::Routine,
        panic, processors,
        wait_queue::{self, WaitQueue, relative},
    },
    nt::*,
};
use core::{
    ffi::c_void,
    mem::transmute,
    panic::Location,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::*},
};
use kp_core::{
    Error, Result, Status,
    host::{IrqEntry, Kernel, RawLock, RawWaitQueue, TaskFlags, Vectors, Woken},
};

struct Windows;
kp_core::kernel!(Windows);

/// Without what the machine has slept, to the microsecond. KeQueryInterruptTimePrecise's page says that there is none; Microsoft's public
/// drivers use it: ebpf-for-windows, usersim.
static UNBIASED_PRECISE: Routine = Routine::new(c"KeQueryUnbiasedInterruptTimePrecise");
/// Without what the machine has slept, in ticks.
static UNBIASED: Routine = Routine::new(c"KeQueryUnbiasedInterruptTime");
/// With what the machine has slept.
static PRECISE: Routine = Routine::new(c"KeQueryInterruptTimePrecise");
/// Where there is none of those: in Wine.
static TICKS: Routine = Routine::new(c"KeQueryTickCount");
/// A tick, in 100 ns.
static INCREMENT: Routine = Routine::new(c"KeQueryTimeIncrement");
static NAME: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static NAME_LEN: AtomicUsize = AtomicUsize::new(0);

/// Log lines come from the component for drivers of devices that have no class of their own, DPFLTR_IHVDRIVER_ID.
const COMPONENT: u32 = 77;
/// DPFLTR_ERROR_LEVEL: shown without asking for it.
const LEVEL: u32 = 0;
/// What a log line is cut to, in bytes: DbgPrintEx takes 512 with the name.
const LINE: usize = 440;

/// Looks up what not every kernel exports, and keeps the plugin's name. Passive, before anything else of the port. False: there is
/// no clock.
pub(crate) fn start(name: &'static str) -> bool {
    NAME.store(name.as_ptr().cast_mut(), Relaxed);
    NAME_LEN.store(name.len(), Relaxed);
    irql::find_all();
    mapping::find_all();
    interrupt::find_all();
    processors::find_all();
    UNBIASED_PRECISE.find();
    UNBIASED.find();
    PRECISE.find();
    if unbiased().is_some() {
        wait_queue::find_all(); // not Wine: see there
    }
    TICKS.find();
    INCREMENT.find();
    unbiased().or_else(precise).or_else(ticks).is_some()
}

/// Since the machine was started, without what it has slept. Any level. Not inlined: see `irql`.
#[inline(never)]
pub(crate) fn now_ns() -> u64 {
    unbiased().or_else(precise).or_else(ticks).unwrap_or(0).saturating_mul(100)
}

/// For times too short to sleep in them, in ns. Any level. Not inlined: see `irql`.
#[inline(never)]
fn fine_ns() -> u64 {
    precise().or_else(ticks).unwrap_or(0).saturating_mul(100)
}

// Each in 100 ns, if the kernel has it.

fn unbiased() -> Option<u64> {
    if let Some(precise) = UNBIASED_PRECISE.get() {
        // SAFETY: KeQueryUnbiasedInterruptTimePrecise has this type.
        return Some(unsafe { call_precise(precise) });
    }
    // SAFETY: KeQueryUnbiasedInterruptTime has this type.
    let f = unsafe { transmute::<NonNull<c_void>, extern "efiapi" fn() -> u64>(UNBIASED.get()?) };
    Some(f())
}

fn precise() -> Option<u64> {
    // SAFETY: KeQueryInterruptTimePrecise has this type.
    PRECISE.get().map(|precise| unsafe { call_precise(precise) })
}

/// # Safety
/// A clock of the kernel's that also tells the performance counter.
unsafe fn call_precise(clock: NonNull<c_void>) -> u64 {
    let mut counter = 0;
    // SAFETY: the caller's promise.
    let f = unsafe { transmute::<NonNull<c_void>, extern "efiapi" fn(&mut u64) -> u64>(clock) };
    f(&mut counter)
}

fn ticks() -> Option<u64> {
    let mut count = 0;
    // SAFETY: KeQueryTickCount has this type.
    let ticks = unsafe { transmute::<NonNull<c_void>, extern "efiapi" fn(&mut u64)>(TICKS.get()?) };
    // SAFETY: KeQueryTimeIncrement has this type.
    let increment = unsafe { transmute::<NonNull<c_void>, extern "efiapi" fn() -> u32>(INCREMENT.get()?) };
    ticks(&mut count);
    Some(count.saturating_mul(increment().into()))
}

/// The plugin's name.
pub(crate) fn name() -> &'static str {
    let (name, len) = (NAME.load(Relaxed), NAME_LEN.load(Relaxed));
    if name.is_null() {
        return "";
    }
    // SAFETY: `start` has stored the parts of a text that is never freed.
    let bytes = unsafe { core::slice::from_raw_parts(name, len) };
    // SAFETY: as above.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

/// Writes one line to the debugger's log. Any level.
pub(crate) fn log(text: &str) {
    let (name, name_len) = (NAME.load(Relaxed), NAME_LEN.load(Relaxed));
    let text = text.as_bytes();
    let format = c"kp-%.*s: %.*s\n".as_ptr().cast();
    // SAFETY: two readable ranges, and a format for them.
    unsafe { DbgPrintEx(COMPONENT, LEVEL, format, name_len, name, text.len().min(LINE), text.as_ptr()) };
}

/// One instruction, so that a kernel that traps and decodes the access can; for the compiler it is opaque, as a volatile access.
macro_rules! mmio {
    ($($read:ident $write:ident $type:ty, $load:literal, $store:literal, $class:ident;)*) => { $(
        #[inline(always)]
        unsafe fn $read(address: usize) -> $type {
            let value: $type;
            // SAFETY: the caller's promise: mapped and aligned.
            unsafe { core::arch::asm!($load, value = out($class) value, at = in(reg) address, options(nostack, preserves_flags)) };
            value
        }
        #[inline(always)]
        unsafe fn $write(address: usize, value: $type) {
            // SAFETY: as above.
            unsafe { core::arch::asm!($store, value = in($class) value, at = in(reg) address, options(nostack, preserves_flags)) };
        }
    )* };
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl Kernel for Windows {
    fn alloc(size: usize, align: usize) -> *mut u8 {
        memory::alloc(size, align)
    }
    unsafe fn free(memory: *mut u8, _: usize, align: usize) {
        // SAFETY: the caller's promise.
        unsafe { memory::free(memory, align) }
    }
    fn log(text: &str) {
        log(text)
    }
    #[inline]
    fn log_is_limited() -> bool {
        true
    }
    fn now_ns() -> u64 {
        now_ns()
    }
    fn stall_us(us: u32) {
        let end = fine_ns() + 1000 * u64::from(us);
        while fine_ns() < end {
            core::hint::spin_loop();
        }
    }
    fn sleep_ns(ns: u64) {
        let interval = relative(ns);
        // SAFETY: readable; a kernel-mode delay ends with its time only.
        unsafe { KeDelayExecutionThread(mode::KERNEL, 0, &interval) };
    }
    #[inline]
    fn poisoned() -> bool {
        panic::is_poisoned()
    }
    fn task() -> u32 {
        PsGetCurrentThreadId() as u32
    }
    /// A panic stops the machine: nobody is left to ask.
    fn is_dead(_: u32) -> bool {
        false
    }

    // A ring's memory would be the app's own, pinned by a request that stays pending.
    fn can_mmap() -> bool {
        false
    }
    fn alloc_mmap_pages(_: usize) -> *mut u8 {
        ptr::null_mut()
    }
    unsafe fn free_mmap_pages(_: *mut u8, _: usize) {}
    fn task_flags() -> TaskFlags {
        static NEVER: AtomicUsize = AtomicUsize::new(0);
        // SAFETY: a static.
        unsafe { TaskFlags::new(&NEVER, 0) }
    }
    fn cond_resched() -> bool {
        false
    }

    fn lock_new(kind: u32, _: &'static Location<'static>) -> *mut RawLock {
        lock::new(kind).cast()
    }
    unsafe fn lock_free(lock: *mut RawLock, kind: u32) {
        // SAFETY: the caller's promise.
        unsafe { lock::free(lock.cast(), kind) }
    }
    #[inline]
    unsafe fn lock_acquire(lock: *mut RawLock, kind: u32) -> usize {
        // SAFETY: the caller's promise.
        unsafe { lock::acquire(lock.cast(), kind) }
    }
    #[inline]
    unsafe fn lock_release(lock: *mut RawLock, kind: u32, saved: usize) {
        // SAFETY: the caller's promise.
        unsafe { lock::release(lock.cast(), kind, saved) }
    }

    fn wait_queue_new() -> *mut RawWaitQueue {
        wait_queue::new().cast()
    }
    unsafe fn wait_queue_free(queue: *mut RawWaitQueue) {
        // SAFETY: the caller's promise.
        unsafe { wait_queue::free(queue.cast()) }
    }
    unsafe fn wait_queue_wait(queue: *mut RawWaitQueue, word: &AtomicU32, seen: u32, ns: u64, kind: u32) -> Woken {
        // SAFETY: the caller's promise.
        unsafe { wait_queue::wait(queue.cast::<WaitQueue>(), word, seen, ns, kind) }
    }
    unsafe fn wait_queue_wake(queue: *mut RawWaitQueue) {
        // SAFETY: the caller's promise.
        unsafe { wait_queue::wake(queue.cast::<WaitQueue>()) }
    }

    #[cfg(target_arch = "x86_64")]
    mmio! {
        mmio_read8 mmio_write8 u8, "mov {value}, [{at}]", "mov [{at}], {value}", reg_byte;
        mmio_read16 mmio_write16 u16, "mov {value:x}, [{at}]", "mov [{at}], {value:x}", reg;
        mmio_read32 mmio_write32 u32, "mov {value:e}, [{at}]", "mov [{at}], {value:e}", reg;
        mmio_read64 mmio_write64 u64, "mov {value:r}, [{at}]", "mov [{at}], {value:r}", reg;
    }
    #[cfg(target_arch = "aarch64")]
    mmio! {
        mmio_read8 mmio_write8 u8, "ldrb {value:w}, [{at}]", "strb {value:w}, [{at}]", reg;
        mmio_read16 mmio_write16 u16, "ldrh {value:w}, [{at}]", "strh {value:w}, [{at}]", reg;
        mmio_read32 mmio_write32 u32, "ldr {value:w}, [{at}]", "str {value:w}, [{at}]", reg;
        mmio_read64 mmio_write64 u64, "ldr {value:x}, [{at}]", "str {value:x}, [{at}]", reg;
    }

    // The device is the address of a record that stays until its driver has ended; kp-core calls none of these later.
    fn map(device: usize, bar: usize, len: usize) -> usize {
        // SAFETY: as above.
        unsafe { Hardware::of(device) }.map_or(0, |hardware| hardware.map(bar, len))
    }
    unsafe fn unmap(base: usize, _: usize) {
        // SAFETY: the caller's promise.
        unsafe { mapping::unmap(base) }
    }
    fn bus_master(device: usize, on: bool) {
        // SAFETY: as above.
        if let Some(hardware) = unsafe { Hardware::of(device) } {
            hardware.bus_master(on);
        }
    }
    fn config_read(device: usize, offset: u32, width: u32) -> u32 {
        // SAFETY: as above.
        match unsafe { Hardware::of(device) } {
            Some(hardware) => hardware.config_read(offset, width),
            None => u32::MAX >> (32 - 8 * width.clamp(1, 4)),
        }
    }
    fn config_write(device: usize, offset: u32, width: u32, value: u32) {
        // SAFETY: as above.
        if let Some(hardware) = unsafe { Hardware::of(device) } {
            hardware.config_write(offset, width, value);
        }
    }

    fn irq_prepare(device: usize, kinds: u32, min: u32, max: u32) -> Result<Vectors> {
        // SAFETY: as above.
        match unsafe { Hardware::of(device) } {
            Some(hardware) => Interrupt::prepare(hardware, kinds, min, max),
            None => Err(Error::from(Status::NO_INTERRUPT)),
        }
    }
    unsafe fn irq_connect(device: usize, entry: IrqEntry) -> Result<()> {
        // SAFETY: as above.
        match unsafe { Hardware::of(device) } {
            // SAFETY: the caller's promise.
            Some(hardware) => unsafe { Interrupt::connect(hardware, entry) },
            None => Err(Error::from(Status::NO_INTERRUPT)),
        }
    }
    unsafe fn irq_disconnect(device: usize) {
        // SAFETY: as above.
        if let Some(hardware) = unsafe { Hardware::of(device) } {
            Interrupt::disconnect(hardware);
        }
    }
    fn irq_release(device: usize) {
        // SAFETY: as above.
        if let Some(hardware) = unsafe { Hardware::of(device) } {
            Interrupt::release(hardware);
        }
    }
    fn irq_mask(device: usize, _: u32) -> bool {
        // SAFETY: as above.
        unsafe { Hardware::of(device) }.is_some_and(|hardware| hardware.interrupt.mask())
    }
    #[inline]
    fn dpc_queue(device: usize, vector: u32) {
        // SAFETY: as above.
        if let Some(hardware) = unsafe { Hardware::of(device) } {
            hardware.interrupt.queue(vector);
        }
    }
}
