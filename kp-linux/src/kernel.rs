//! The kernel functions of kp-core, by the C glue's.
use crate::c::*;
use core::{
    panic::Location,
    ptr,
    sync::atomic::{AtomicU32, Ordering::SeqCst, compiler_fence},
};
use kp_core::{
    Error, Result, Status,
    host::{IrqEntry, Kernel, RawLock, RawWaitQueue, TaskFlags, Vectors, Woken, lock_kind},
};

/// -ENOMEM.
const NO_MEMORY: i32 = -12;

struct Linux;
kp_core::kernel!(Linux);

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says; see `kbuild/`.
unsafe impl Kernel for Linux {
    fn alloc(size: usize, align: usize) -> *mut u8 {
        kp_c_alloc(size, align)
    }
    unsafe fn free(memory: *mut u8, _: usize, _: usize) {
        // SAFETY: the caller's promise: it came from `alloc`.
        unsafe { kp_c_free(memory) }
    }
    fn log(text: &str) {
        // SAFETY: a readable range.
        unsafe { kp_c_log(text.as_ptr(), text.len()) }
    }
    #[inline]
    fn log_is_limited() -> bool {
        true
    }
    fn now_ns() -> u64 {
        kp_c_now()
    }
    fn stall_us(us: u32) {
        kp_c_stall(us)
    }
    fn sleep_ns(ns: u64) {
        kp_c_sleep(ns)
    }
    #[inline]
    fn poisoned() -> bool {
        crate::panic::is_poisoned()
    }

    fn task() -> u32 {
        kp_c_task()
    }
    fn is_dead(task: u32) -> bool {
        kp_c_is_dead(task)
    }

    fn can_mmap() -> bool {
        true
    }
    fn alloc_mmap_pages(len: usize) -> *mut u8 {
        kp_c_alloc_mmap_pages(len)
    }
    unsafe fn free_mmap_pages(memory: *mut u8, _: usize) {
        // SAFETY: the caller's promise: it came from `alloc_mmap_pages`.
        unsafe { kp_c_free_mmap_pages(memory) }
    }
    fn task_flags() -> TaskFlags {
        let mut mask = 0;
        // SAFETY: `mask` is writable.
        let word = unsafe { kp_c_task_flags(&mut mask) };
        // SAFETY: the task's own flags, which are there as long as it runs.
        unsafe { TaskFlags::new(word, mask) }
    }
    #[inline]
    fn cond_resched() -> bool {
        kp_c_cond_resched()
    }

    fn lock_new(kind: u32, made: &'static Location<'static>) -> *mut RawLock {
        let (place, file) = (ptr::from_ref(made).cast(), made.file());
        // SAFETY: a static, and its text.
        unsafe { kp_c_lock_new(kind, place, file.as_ptr(), file.len(), made.line()) }.cast()
    }
    unsafe fn lock_free(lock: *mut RawLock, kind: u32) {
        // SAFETY: the caller's promise: made by `lock_new` for this kind, not held.
        unsafe { kp_c_lock_free(lock.cast(), kind) }
    }
    #[inline]
    unsafe fn lock_acquire(lock: *mut RawLock, kind: u32) -> usize {
        let lock = lock.cast();
        match kind {
            // SAFETY: alive, of this kind, at a level that takes it: the caller's promise.
            lock_kind::MUTEX => unsafe { kp_c_mutex_lock(lock) },
            // SAFETY: as above.
            lock_kind::DISPATCH => unsafe { kp_c_bh_lock(lock) },
            // SAFETY: as above.
            lock_kind::ORDER => unsafe { kp_c_order_enter(lock) },
            // SAFETY: as above.
            _ => return unsafe { kp_c_irq_lock(lock) },
        }
        0
    }
    #[inline]
    unsafe fn lock_release(lock: *mut RawLock, kind: u32, saved: usize) {
        let lock = lock.cast();
        match kind {
            // SAFETY: held by this thread: the caller's promise.
            lock_kind::MUTEX => unsafe { kp_c_mutex_unlock(lock) },
            // SAFETY: as above.
            lock_kind::DISPATCH => unsafe { kp_c_bh_unlock(lock) },
            // SAFETY: as above.
            lock_kind::ORDER => unsafe { kp_c_order_leave(lock) },
            // SAFETY: as above; `saved` is what its taking gave.
            _ => unsafe { kp_c_irq_unlock(lock, saved) },
        }
    }

    fn wait_queue_new() -> *mut RawWaitQueue {
        kp_c_wait_queue_new().cast()
    }
    unsafe fn wait_queue_free(queue: *mut RawWaitQueue) {
        // SAFETY: the caller's promise: made by `wait_queue_new`, nobody waits.
        unsafe { kp_c_wait_queue_free(queue.cast()) }
    }
    unsafe fn wait_queue_wait(queue: *mut RawWaitQueue, word: &AtomicU32, seen: u32, ns: u64, kind: u32) -> Woken {
        // SAFETY: the caller's promise, and `word` is borrowed for the call.
        match unsafe { kp_c_wait_queue_wait(queue.cast(), word.as_ptr(), seen, ns, kind) } {
            0 => Woken::Changed,
            1 => Woken::Timeout,
            _ => Woken::Interrupted,
        }
    }
    #[inline]
    unsafe fn wait_queue_wake(queue: *mut RawWaitQueue) {
        // SAFETY: the caller's promise: alive.
        unsafe { kp_c_wait_queue_wake(queue.cast()) }
    }

    // On x86 a volatile access of these widths is one `mov`, and the kernel's readX/writeX are that with a compiler barrier: no access to
    // memory moves across it, before a write or after a read. It costs no instruction.
    #[inline(always)]
    unsafe fn mmio_read8(address: usize) -> u8 {
        compiler_fence(SeqCst);
        // SAFETY: the caller's promise: mapped and aligned.
        let value = unsafe { (address as *const u8).read_volatile() };
        compiler_fence(SeqCst);
        value
    }
    #[inline(always)]
    unsafe fn mmio_read16(address: usize) -> u16 {
        compiler_fence(SeqCst);
        // SAFETY: as above.
        let value = unsafe { (address as *const u16).read_volatile() };
        compiler_fence(SeqCst);
        value
    }
    #[inline(always)]
    unsafe fn mmio_read32(address: usize) -> u32 {
        compiler_fence(SeqCst);
        // SAFETY: as above.
        let value = unsafe { (address as *const u32).read_volatile() };
        compiler_fence(SeqCst);
        value
    }
    #[inline(always)]
    unsafe fn mmio_read64(address: usize) -> u64 {
        compiler_fence(SeqCst);
        // SAFETY: as above.
        let value = unsafe { (address as *const u64).read_volatile() };
        compiler_fence(SeqCst);
        value
    }
    #[inline(always)]
    unsafe fn mmio_write8(address: usize, value: u8) {
        compiler_fence(SeqCst);
        // SAFETY: as above.
        unsafe { (address as *mut u8).write_volatile(value) };
        compiler_fence(SeqCst);
    }
    #[inline(always)]
    unsafe fn mmio_write16(address: usize, value: u16) {
        compiler_fence(SeqCst);
        // SAFETY: as above.
        unsafe { (address as *mut u16).write_volatile(value) };
        compiler_fence(SeqCst);
    }
    #[inline(always)]
    unsafe fn mmio_write32(address: usize, value: u32) {
        compiler_fence(SeqCst);
        // SAFETY: as above.
        unsafe { (address as *mut u32).write_volatile(value) };
        compiler_fence(SeqCst);
    }
    #[inline(always)]
    unsafe fn mmio_write64(address: usize, value: u64) {
        compiler_fence(SeqCst);
        // SAFETY: as above.
        unsafe { (address as *mut u64).write_volatile(value) };
        compiler_fence(SeqCst);
    }

    fn map(device: usize, bar: usize, len: usize) -> usize {
        kp_c_map(device, bar as u32, len)
    }
    unsafe fn unmap(base: usize, _: usize) {
        // SAFETY: the caller's promise: it came from `map`.
        unsafe { kp_c_unmap(base) }
    }
    fn bus_master(device: usize, on: bool) {
        kp_c_bus_master(device, on)
    }
    fn config_read(device: usize, offset: u32, width: u32) -> u32 {
        kp_c_config_read(device, offset, width)
    }
    fn config_write(device: usize, offset: u32, width: u32, value: u32) {
        kp_c_config_write(device, offset, width, value)
    }

    fn irq_prepare(device: usize, kinds: u32, min: u32, max: u32) -> Result<Vectors> {
        let mut kind = 0;
        // SAFETY: `kind` is writable.
        match unsafe { kp_c_irq_prepare(device, kinds, min, max, &mut kind) } {
            count @ 1.. => Ok(Vectors { kind, count: count as u32 }),
            NO_MEMORY => Err(Status::NO_MEMORY.into()),
            errno => Err(Error::new(Status::NO_INTERRUPT, errno.unsigned_abs())),
        }
    }
    unsafe fn irq_connect(device: usize, entry: IrqEntry) -> Result<()> {
        // The C glue calls this binary's own `kp_rs_isr` and `kp_rs_dpc`: no indirect call.
        // SAFETY: the caller's promise.
        match unsafe { kp_c_irq_connect(device, entry.cookie) } {
            0 => Ok(()),
            errno => Err(Error::new(Status::CONNECT_FAILED, errno.unsigned_abs())),
        }
    }
    unsafe fn irq_disconnect(device: usize) {
        // SAFETY: the caller's promise: connected.
        unsafe { kp_c_irq_disconnect(device) }
    }
    fn irq_release(device: usize) {
        kp_c_irq_release(device)
    }
    fn irq_mask(device: usize, vector: u32) -> bool {
        kp_c_irq_mask(device, vector)
    }
    #[inline]
    fn dpc_queue(device: usize, vector: u32) {
        kp_c_dpc_queue(device, vector)
    }
}
