//! The kernel functions of kp-core, by the C glue's.
use crate::c::*;
use core::{
    alloc::Layout,
    arch::asm,
    num::{NonZeroU32, NonZeroUsize},
    panic::Location,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering::SeqCst, compiler_fence},
};
use kp_core::{
    DmaLimits, Error, IrqKind, Result, Status,
    host::{
        BarIndex, Caching, CoherentMemory, ConfigWidth, DeviceId, Dma, DmaDirection, DmaId, IoMapping, Irq, IrqEntry,
        IrqRequest, Kernel, Lock, LockKind, Log, Memory, Mmap, Mmio, Pages, Pci, PortIo, PreparedVectors, RawLock,
        RawMapping, RawPages, RawTimer, RawWaitQueue, RawWorkItem, Task, TaskFlags, TaskId, Time, Timeout, TimerEntry,
        Timers, WaitKind, WaitQueues, Woken, WorkEntry, WorkItems,
    },
    kp_abi::request::kind,
};

/// -ENOMEM.
const NO_MEMORY: i32 = -12;

struct Linux;
// SAFETY: every function is of the kernel that the module is loaded into.
unsafe impl Kernel for Linux {}
kp_core::kernel!(Linux);

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl Memory for Linux {
    fn alloc(layout: Layout) -> Option<NonNull<u8>> {
        NonNull::new(kp_c_alloc(layout.size(), layout.align()))
    }
    unsafe fn free(memory: NonNull<u8>, _: Layout) {
        // SAFETY: the caller's promise: it came from `alloc`.
        unsafe { kp_c_free(memory.as_ptr()) }
    }
}

impl Log for Linux {
    fn log(text: &str) {
        // SAFETY: a readable range.
        unsafe { kp_c_log(text.as_ptr(), text.len()) }
    }
    #[inline]
    fn log_is_limited() -> bool {
        true
    }
}

impl Time for Linux {
    fn now_ns() -> u64 {
        kp_c_now()
    }
    fn stall_us(us: u32) {
        kp_c_stall(us)
    }
    fn sleep_ns(ns: u64) {
        kp_c_sleep(ns)
    }
}

// SAFETY: a pid is a task's own while it lives; the C glue keeps which of them have panicked.
unsafe impl Task for Linux {
    #[inline]
    fn poisoned() -> bool {
        crate::panic::is_poisoned()
    }
    fn task() -> TaskId {
        // A process has a pid, which is not 0; so has the kernel's own task, but for the idle one, which runs none of this.
        TaskId(NonZeroU32::new(kp_c_task()).unwrap_or(NonZeroU32::MAX))
    }
    fn is_dead(task: TaskId) -> bool {
        kp_c_is_dead(task.0.get())
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
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl Lock for Linux {
    fn lock_new(kind: LockKind, made: &'static Location<'static>) -> Option<NonNull<RawLock>> {
        let (place, file) = (ptr::from_ref(made).cast(), made.file());
        // SAFETY: a static, and its text.
        let lock = unsafe { kp_c_lock_new(kind as u32, place, file.as_ptr(), file.len(), made.line()) };
        NonNull::new(lock.cast())
    }
    unsafe fn lock_free(lock: NonNull<RawLock>, kind: LockKind) {
        // SAFETY: the caller's promise: made by `lock_new` for this kind, not held.
        unsafe { kp_c_lock_free(lock.as_ptr().cast(), kind as u32) }
    }
    #[inline]
    unsafe fn lock_acquire(lock: NonNull<RawLock>, kind: LockKind) -> usize {
        let lock = lock.as_ptr().cast();
        match kind {
            // SAFETY: alive, of this kind, at a level that takes it: the caller's promise.
            LockKind::Sleeping => unsafe { kp_c_mutex_lock(lock) },
            // SAFETY: alive, of this kind, at a level that takes it.
            LockKind::AtDispatch => unsafe { kp_c_bh_lock(lock) },
            // SAFETY: alive, of this kind.
            LockKind::Order => unsafe { kp_c_order_enter(lock) },
            // SAFETY: alive, of this kind, and taken at any level.
            LockKind::AtIrql => return unsafe { kp_c_irq_lock(lock) },
        }
        0
    }
    #[inline]
    unsafe fn lock_release(lock: NonNull<RawLock>, kind: LockKind, saved: usize) {
        let lock = lock.as_ptr().cast();
        match kind {
            // SAFETY: held by this thread: the caller's promise.
            LockKind::Sleeping => unsafe { kp_c_mutex_unlock(lock) },
            // SAFETY: held by this thread.
            LockKind::AtDispatch => unsafe { kp_c_bh_unlock(lock) },
            // SAFETY: entered by this thread.
            LockKind::Order => unsafe { kp_c_order_leave(lock) },
            // SAFETY: held by this thread; `saved` is what its taking gave.
            LockKind::AtIrql => unsafe { kp_c_irq_unlock(lock, saved) },
        }
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl WaitQueues for Linux {
    fn wait_queue_new() -> Option<NonNull<RawWaitQueue>> {
        NonNull::new(kp_c_wait_queue_new().cast())
    }
    unsafe fn wait_queue_free(queue: NonNull<RawWaitQueue>) {
        // SAFETY: the caller's promise: made by `wait_queue_new`, nobody waits.
        unsafe { kp_c_wait_queue_free(queue.as_ptr().cast()) }
    }
    unsafe fn wait_queue_wait(
        queue: NonNull<RawWaitQueue>,
        word: &AtomicU32,
        seen: u32,
        timeout: Timeout,
        kind: WaitKind,
    ) -> Woken {
        let (queue, coarse) = (queue.as_ptr().cast(), timeout.is_coarse());
        // SAFETY: the caller's promise, and `word` is borrowed for the call.
        match unsafe { kp_c_wait_queue_wait(queue, word.as_ptr(), seen, timeout.ns(), kind as u32, coarse) } {
            0 => Woken::Changed,
            1 => Woken::Timeout,
            _ => Woken::Interrupted,
        }
    }
    #[inline]
    unsafe fn wait_queue_wake(queue: NonNull<RawWaitQueue>) {
        // SAFETY: the caller's promise: alive.
        unsafe { kp_c_wait_queue_wake(queue.as_ptr().cast()) }
    }
    /// The lock of a wait queue is taken with interrupts off; on an RT kernel, where it sleeps, handlers are threads.
    #[inline(always)]
    fn wakes_at_irql() -> bool {
        true
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl Timers for Linux {
    fn timer_new(entry: TimerEntry) -> Option<NonNull<RawTimer>> {
        // The C glue calls this binary's own `kp_rs_timer`: no indirect call.
        // SAFETY: the cookie is `kp_rs_timer`'s until the timer is freed.
        NonNull::new(unsafe { kp_c_timer_new(entry.cookie) }.cast())
    }
    unsafe fn timer_free(timer: NonNull<RawTimer>) {
        // SAFETY: the caller's promise: made by `timer_new`.
        unsafe { kp_c_timer_free(timer.as_ptr().cast()) }
    }
    unsafe fn timer_start(timer: NonNull<RawTimer>, ns: u64) {
        // SAFETY: the caller's promise: alive.
        unsafe { kp_c_timer_start(timer.as_ptr().cast(), ns) }
    }
    unsafe fn timer_stop(timer: NonNull<RawTimer>) {
        // SAFETY: the caller's promise: alive.
        unsafe { kp_c_timer_stop(timer.as_ptr().cast()) }
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl WorkItems for Linux {
    fn work_item_new(entry: WorkEntry) -> Option<NonNull<RawWorkItem>> {
        // The C glue calls this binary's own `kp_rs_work`: no indirect call.
        // SAFETY: the cookie is `kp_rs_work`'s until the item is freed.
        NonNull::new(unsafe { kp_c_work_item_new(entry.cookie) }.cast())
    }
    unsafe fn work_item_free(item: NonNull<RawWorkItem>) {
        // SAFETY: the caller's promise: made by `work_item_new`.
        unsafe { kp_c_work_item_free(item.as_ptr().cast()) }
    }
    unsafe fn work_item_queue(item: NonNull<RawWorkItem>) {
        // SAFETY: the caller's promise: alive.
        unsafe { kp_c_work_item_queue(item.as_ptr().cast()) }
    }
}

// SAFETY: on x86 a volatile access of these widths is one `mov`, and the kernel's readX/writeX are that with a compiler barrier: no access to
// memory moves across it, before a write or after a read. It costs no instruction.
unsafe impl Mmio for Linux {
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
        // SAFETY: the caller's promise: mapped and aligned.
        let value = unsafe { (address as *const u16).read_volatile() };
        compiler_fence(SeqCst);
        value
    }
    #[inline(always)]
    unsafe fn mmio_read32(address: usize) -> u32 {
        compiler_fence(SeqCst);
        // SAFETY: the caller's promise: mapped and aligned.
        let value = unsafe { (address as *const u32).read_volatile() };
        compiler_fence(SeqCst);
        value
    }
    #[inline(always)]
    unsafe fn mmio_read64(address: usize) -> u64 {
        compiler_fence(SeqCst);
        // SAFETY: the caller's promise: mapped and aligned.
        let value = unsafe { (address as *const u64).read_volatile() };
        compiler_fence(SeqCst);
        value
    }
    #[inline(always)]
    unsafe fn mmio_write8(address: usize, value: u8) {
        compiler_fence(SeqCst);
        // SAFETY: the caller's promise: mapped and aligned.
        unsafe { (address as *mut u8).write_volatile(value) };
        compiler_fence(SeqCst);
    }
    #[inline(always)]
    unsafe fn mmio_write16(address: usize, value: u16) {
        compiler_fence(SeqCst);
        // SAFETY: the caller's promise: mapped and aligned.
        unsafe { (address as *mut u16).write_volatile(value) };
        compiler_fence(SeqCst);
    }
    #[inline(always)]
    unsafe fn mmio_write32(address: usize, value: u32) {
        compiler_fence(SeqCst);
        // SAFETY: the caller's promise: mapped and aligned.
        unsafe { (address as *mut u32).write_volatile(value) };
        compiler_fence(SeqCst);
    }
    #[inline(always)]
    unsafe fn mmio_write64(address: usize, value: u64) {
        compiler_fence(SeqCst);
        // SAFETY: the caller's promise: mapped and aligned.
        unsafe { (address as *mut u64).write_volatile(value) };
        compiler_fence(SeqCst);
    }
}

macro_rules! ports {
    ($($read:ident $write:ident $type:ty, $register:tt;)*) => { $(
        #[inline(always)]
        unsafe fn $read(port: usize) -> $type {
            let value;
            // SAFETY: the caller's promise: a device's ports. The processor reads them, and no memory of this program.
            unsafe { asm!(concat!("in ", $register, ", dx"), out($register) value, in("dx") port as u16, options(nostack, preserves_flags)) };
            value
        }
        #[inline(always)]
        unsafe fn $write(port: usize, value: $type) {
            // SAFETY: as for reading.
            unsafe { asm!(concat!("out dx, ", $register), in("dx") port as u16, in($register) value, options(nostack, preserves_flags)) };
        }
    )* };
}

// SAFETY: one instruction for each access; the compiler moves no access to memory across it.
unsafe impl PortIo for Linux {
    ports! {
        port_read8 port_write8 u8, "al";
        port_read16 port_write16 u16, "ax";
        port_read32 port_write32 u32, "eax";
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl Pci for Linux {
    fn map_bar(
        device: DeviceId,
        bar: BarIndex,
        offset: usize,
        len: NonZeroUsize,
        caching: Caching,
    ) -> Option<IoMapping> {
        let combine = caching == Caching::WriteCombining;
        let base = NonZeroUsize::new(kp_c_map(device.get(), bar.get() as u32, offset, len.get(), combine))?;
        Some(IoMapping { base, len })
    }
    unsafe fn unmap_bar(mapping: IoMapping) {
        // SAFETY: the caller's promise: it came from `map_bar`.
        unsafe { kp_c_unmap(mapping.base.get()) }
    }
    fn bus_master(device: DeviceId, on: bool) -> bool {
        kp_c_bus_master(device.get(), on)
    }
    fn config_read(device: DeviceId, offset: u32, width: ConfigWidth) -> u32 {
        kp_c_config_read(device.get(), offset, width.bytes())
    }
    fn config_write(device: DeviceId, offset: u32, width: ConfigWidth, value: u32) {
        kp_c_config_write(device.get(), offset, width.bytes(), value)
    }
    /// While nothing is connected nothing is elsewhere: the kernel writes the messages as it gives the vectors out.
    fn reset_begins(_: DeviceId) -> bool {
        true
    }
    fn reset_ended(_: DeviceId) {}
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl Irq for Linux {
    fn irq_prepare(device: DeviceId, wanted: IrqRequest) -> Result<PreparedVectors> {
        let mut kind = 0;
        // SAFETY: `kind` is writable.
        match unsafe { kp_c_irq_prepare(device.get(), wanted.kinds.bits(), wanted.min, wanted.max, &mut kind) } {
            count @ 1.. => Ok(PreparedVectors { kind: irq_kind(kind), count: count as u32 }),
            NO_MEMORY => Err(Status::NO_MEMORY.into()),
            errno => Err(Error::new(Status::NO_INTERRUPT, errno.unsigned_abs())),
        }
    }
    unsafe fn irq_connect(device: DeviceId, entry: IrqEntry) -> Result<()> {
        // The C glue calls this binary's own `kp_rs_isr` and `kp_rs_dpc`: no indirect call.
        // SAFETY: the caller's promise.
        match unsafe { kp_c_irq_connect(device.get(), entry.cookie) } {
            0 => Ok(()),
            errno => Err(Error::new(Status::CONNECT_FAILED, errno.unsigned_abs())),
        }
    }
    unsafe fn irq_disconnect(device: DeviceId) {
        // SAFETY: the caller's promise: connected.
        unsafe { kp_c_irq_disconnect(device.get()) }
    }
    fn irq_release(device: DeviceId) {
        kp_c_irq_release(device.get())
    }
    fn irq_mask(device: DeviceId, vector: u32) -> bool {
        kp_c_irq_mask(device.get(), vector)
    }
    fn irq_mask_vector(device: DeviceId, vector: u32, mask: bool) -> bool {
        kp_c_irq_mask_vector(device.get(), vector, mask);
        true
    }
    fn irq_hint(device: DeviceId, vector: u32, processor: u32) {
        kp_c_irq_hint(device.get(), vector, processor);
    }
    #[inline]
    fn dpc_queue(device: DeviceId, vector: u32) {
        kp_c_dpc_queue(device.get(), vector)
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl Dma for Linux {
    fn dma_open(device: DeviceId, limits: &DmaLimits) -> Result<DmaId> {
        match kp_c_dma_open(device.get(), limits.address_bits(), limits.max_segment(), limits.segment_boundary()) {
            0 => DmaId::new(device.get()).ok_or(Status::NO_DMA.into()),
            errno => Err(Error::new(Status::NO_DMA, errno.unsigned_abs())),
        }
    }
    unsafe fn dma_close(dma: DmaId) {
        kp_c_dma_close(dma.get())
    }
    fn dma_is_isolated(dma: DmaId) -> bool {
        kp_c_dma_is_isolated(dma.get())
    }
    fn coherent_alloc(dma: DmaId, len: NonZeroUsize) -> Option<CoherentMemory> {
        let mut bus = 0;
        // SAFETY: `bus` is writable.
        let start = NonNull::new(unsafe { kp_c_coherent_alloc(dma.get(), len.get(), &mut bus) })?;
        Some(CoherentMemory { start, bus, len })
    }
    unsafe fn coherent_free(dma: DmaId, memory: CoherentMemory) {
        // SAFETY: the caller's promise: it came from `coherent_alloc`.
        unsafe { kp_c_coherent_free(dma.get(), memory.start.as_ptr(), memory.len.get(), memory.bus) }
    }
    unsafe fn dma_map(
        dma: DmaId,
        pages: NonNull<RawPages>,
        offset: usize,
        len: usize,
        direction: DmaDirection,
        bus: &mut [u64],
    ) -> Option<NonNull<RawMapping>> {
        let (pages, bus) = (pages.as_ptr().cast(), bus.as_mut_ptr());
        // SAFETY: the caller's promise: `pages` are there, and have the range; `bus` has a place for each page of it.
        NonNull::new(unsafe { kp_c_dma_map(dma.get(), pages, offset, len, direction as u32, bus) }.cast())
    }
    unsafe fn dma_unmap(_: DmaId, mapping: NonNull<RawMapping>) {
        // SAFETY: the caller's promise: it came from `dma_map`.
        unsafe { kp_c_dma_unmap(mapping.as_ptr().cast()) }
    }
    unsafe fn dma_is_direct(_: DmaId, mapping: NonNull<RawMapping>) -> bool {
        // SAFETY: the caller's promise: it came from `dma_map`, and the C glue's record begins with that.
        unsafe { mapping.cast().read() }
    }
    unsafe fn dma_sync_for_device(_: DmaId, mapping: NonNull<RawMapping>) {
        // SAFETY: the caller's promise: it came from `dma_map`.
        unsafe { kp_c_dma_sync(mapping.as_ptr().cast(), true) }
    }
    unsafe fn dma_sync_for_cpu(_: DmaId, mapping: NonNull<RawMapping>) {
        // SAFETY: the caller's promise: it came from `dma_map`.
        unsafe { kp_c_dma_sync(mapping.as_ptr().cast(), false) }
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl Pages for Linux {
    fn pages_alloc(len: NonZeroUsize) -> Option<NonNull<RawPages>> {
        NonNull::new(kp_c_pages_alloc(len.get()).cast())
    }
    unsafe fn pages_free(pages: NonNull<RawPages>) {
        // SAFETY: the caller's promise: it came from `pages_alloc` or `pin`.
        unsafe { kp_c_pages_free(pages.as_ptr().cast()) }
    }
    unsafe fn pages_map(pages: NonNull<RawPages>) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise: it came from `pages_alloc` or `pin`.
        NonNull::new(unsafe { kp_c_pages_map(pages.as_ptr().cast()) })
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the C glue's as `c` says.
unsafe impl Mmap for Linux {
    fn can_mmap() -> bool {
        true
    }
    fn alloc_mmap_pages(len: usize) -> Option<NonNull<u8>> {
        NonNull::new(kp_c_alloc_mmap_pages(len))
    }
    unsafe fn free_mmap_pages(memory: NonNull<u8>, _: usize) {
        // SAFETY: the caller's promise: it came from `alloc_mmap_pages`.
        unsafe { kp_c_free_mmap_pages(memory.as_ptr()) }
    }
}

/// The kind that the C glue names by its bit.
fn irq_kind(bit: u32) -> IrqKind {
    match bit {
        kind::LINE => IrqKind::Line,
        kind::MSI => IrqKind::Msi,
        _ => IrqKind::MsiX,
    }
}
