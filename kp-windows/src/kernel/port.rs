//! kp-core's contract with a port, `impl Kernel`: each function is the kernel's own of that meaning, or a file's beside this one.
use crate::{
    device::{hardware::Hardware, mapping},
    kernel::{
        clock, lock, log, memory, panic,
        wait_queue::{self, WaitQueue},
    },
    nt::*,
};
use core::{
    panic::Location,
    ptr,
    sync::atomic::{AtomicU32, AtomicUsize},
};
use kp_core::{
    Error, Result, Status,
    host::{IrqEntry, Kernel, RawLock, RawWaitQueue, TaskFlags, Vectors, Woken},
};

struct Windows;
kp_core::kernel!(Windows);

/// One instruction, so that a kernel that traps and decodes the access can; for the compiler it is opaque, as a volatile access.
macro_rules! mmio {
    ($($read:ident $write:ident $type:ty, $load:literal, $store:literal, $class:ident;)*) => { $(
        #[inline(always)]
        unsafe fn $read(address: usize) -> $type {
            let value: $type;
            // SAFETY: mapped and aligned.
            unsafe { core::arch::asm!($load, value = out($class) value, at = in(reg) address, options(nostack, preserves_flags)) };
            value
        }
        #[inline(always)]
        unsafe fn $write(address: usize, value: $type) {
            // SAFETY: mapped and aligned.
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
        log::line(text)
    }
    #[inline]
    fn log_is_limited() -> bool {
        true
    }
    fn now_ns() -> u64 {
        clock::now_ns()
    }
    fn stall_us(us: u32) {
        let end = clock::fine_ns() + 1000 * u64::from(us);
        while clock::fine_ns() < end {
            core::hint::spin_loop();
        }
    }
    fn sleep_ns(ns: u64) {
        let interval = clock::relative(ns);
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
            Some(hardware) => hardware.interrupt.prepare(kinds, min, max),
            None => Err(Error::from(Status::NO_INTERRUPT)),
        }
    }
    unsafe fn irq_connect(device: usize, entry: IrqEntry) -> Result<()> {
        // SAFETY: as above.
        match unsafe { Hardware::of(device) } {
            // SAFETY: the caller's promise.
            Some(hardware) => unsafe { hardware.interrupt.connect(entry) },
            None => Err(Error::from(Status::NO_INTERRUPT)),
        }
    }
    unsafe fn irq_disconnect(device: usize) {
        // SAFETY: as above.
        if let Some(hardware) = unsafe { Hardware::of(device) } {
            hardware.interrupt.disconnect();
        }
    }
    fn irq_release(device: usize) {
        // SAFETY: as above.
        if let Some(hardware) = unsafe { Hardware::of(device) } {
            hardware.interrupt.release();
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
