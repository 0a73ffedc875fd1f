//! kp-core's contract with a port, `impl Kernel`: each function is the kernel's own of that meaning, or a file's beside this one.
use crate::{
    device::{dma::Adapter, dma_mapping::Mapping, hardware::Hardware, mapping},
    kernel::{
        clock, lock, log, memory, pages, panic, plugin_timer, plugin_work,
        wait_queue::{self, WaitQueue},
    },
    nt::*,
};
use core::{
    alloc::Layout,
    num::{NonZeroU32, NonZeroUsize},
    panic::Location,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicUsize},
};
use kp_core::{
    DmaLimits, Result,
    host::{
        BarIndex, Caching, CoherentMemory, ConfigWidth, DeviceId, Dma, DmaDirection, DmaId, IoMapping, Irq, IrqEntry,
        IrqRequest, Kernel, Lock, LockKind, Log, Memory, Mmap, Mmio, Pages, Pci, PortIo, PreparedVectors, RawLock,
        RawMapping, RawPages, RawTimer, RawWaitQueue, RawWorkItem, Task, TaskFlags, TaskId, Time, Timeout, TimerEntry,
        Timers, WaitKind, WaitQueues, Woken, WorkEntry, WorkItems,
    },
};

struct Windows;
// SAFETY: every function is of the kernel that the driver is loaded into.
unsafe impl Kernel for Windows {}
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
unsafe impl Memory for Windows {
    fn alloc(layout: Layout) -> Option<NonNull<u8>> {
        NonNull::new(memory::alloc(layout.size(), layout.align()))
    }
    unsafe fn free(memory: NonNull<u8>, layout: Layout) {
        // SAFETY: it came from `alloc`, with this alignment, and is not used any more.
        unsafe { memory::free(memory.as_ptr(), layout.align()) }
    }
}

impl Log for Windows {
    fn log(text: &str) {
        log::line(text)
    }
    #[inline]
    fn log_is_limited() -> bool {
        true
    }
}

impl Time for Windows {
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
        clock::sleep(ns);
    }
}

// SAFETY: a thread's number is its own while it lives; none is dead, since a panic stops the machine.
unsafe impl Task for Windows {
    #[inline]
    fn poisoned() -> bool {
        panic::is_poisoned()
    }
    fn task() -> TaskId {
        // A thread's number is not 0: that is the idle process.
        TaskId(NonZeroU32::new(PsGetCurrentThreadId() as u32).unwrap_or(NonZeroU32::MAX))
    }
    /// A panic stops the machine: nobody is left to ask.
    fn is_dead(_: TaskId) -> bool {
        false
    }
    fn task_flags() -> TaskFlags {
        static NEVER: AtomicUsize = AtomicUsize::new(0);
        // SAFETY: a static.
        unsafe { TaskFlags::new(&NEVER, 0) }
    }
    fn cond_resched() -> bool {
        false
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl Lock for Windows {
    fn lock_new(kind: LockKind, _: &'static Location<'static>) -> Option<NonNull<RawLock>> {
        NonNull::new(lock::new(kind).cast())
    }
    unsafe fn lock_free(lock: NonNull<RawLock>, kind: LockKind) {
        // SAFETY: made by `lock_new` for this kind, and nobody holds it.
        unsafe { lock::free(lock.as_ptr().cast(), kind) }
    }
    #[inline]
    unsafe fn lock_acquire(lock: NonNull<RawLock>, kind: LockKind) -> usize {
        // SAFETY: made by `lock_new` for this kind, at a level that takes it.
        unsafe { lock::acquire(lock.as_ptr().cast(), kind) }
    }
    #[inline]
    unsafe fn lock_release(lock: NonNull<RawLock>, kind: LockKind, saved: usize) {
        // SAFETY: this thread or processor holds it; `saved` is what its taking gave.
        unsafe { lock::release(lock.as_ptr().cast(), kind, saved) }
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl WaitQueues for Windows {
    fn wait_queue_new() -> Option<NonNull<RawWaitQueue>> {
        NonNull::new(wait_queue::new().cast())
    }
    unsafe fn wait_queue_free(queue: NonNull<RawWaitQueue>) {
        // SAFETY: made by `wait_queue_new`; nobody waits on it.
        unsafe { wait_queue::free(queue.as_ptr().cast()) }
    }
    unsafe fn wait_queue_wait(
        queue: NonNull<RawWaitQueue>,
        word: &AtomicU32,
        seen: u32,
        timeout: Timeout,
        kind: WaitKind,
    ) -> Woken {
        // SAFETY: made by `wait_queue_new`, and not freed.
        unsafe { wait_queue::wait(queue.as_ptr().cast::<WaitQueue>(), word, seen, timeout, kind) }
    }
    unsafe fn wait_queue_wake(queue: NonNull<RawWaitQueue>) {
        // SAFETY: made by `wait_queue_new`, and not freed.
        unsafe { wait_queue::wake(queue.as_ptr().cast::<WaitQueue>()) }
    }
    /// Events are set at DISPATCH_LEVEL at most.
    #[inline(always)]
    fn wakes_at_irql() -> bool {
        false
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl Timers for Windows {
    fn timer_new(entry: TimerEntry) -> Option<NonNull<RawTimer>> {
        NonNull::new(plugin_timer::new(entry).cast())
    }
    unsafe fn timer_free(timer: NonNull<RawTimer>) {
        // SAFETY: made by `timer_new`, and not used again.
        unsafe { plugin_timer::free(timer.as_ptr().cast()) }
    }
    unsafe fn timer_start(timer: NonNull<RawTimer>, ns: u64) {
        // SAFETY: made by `timer_new`, and not freed.
        unsafe { plugin_timer::start(timer.as_ptr().cast(), ns) }
    }
    unsafe fn timer_stop(timer: NonNull<RawTimer>) {
        // SAFETY: made by `timer_new`, and not freed.
        unsafe { plugin_timer::stop(timer.as_ptr().cast()) }
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl WorkItems for Windows {
    fn work_item_new(entry: WorkEntry) -> Option<NonNull<RawWorkItem>> {
        NonNull::new(plugin_work::new(entry).cast())
    }
    unsafe fn work_item_free(item: NonNull<RawWorkItem>) {
        // SAFETY: made by `work_item_new`, and not used again.
        unsafe { plugin_work::free(item.as_ptr().cast()) }
    }
    unsafe fn work_item_queue(item: NonNull<RawWorkItem>) {
        // SAFETY: made by `work_item_new`, not freed, and not queued.
        unsafe { plugin_work::queue(item.as_ptr().cast()) }
    }
}

// SAFETY: one instruction for each access; the compiler moves no access to memory across it.
unsafe impl Mmio for Windows {
    #[cfg(target_arch = "x86_64")]
    mmio! {
        mmio_read8 mmio_write8 u8, "mov {value}, [{at}]", "mov [{at}], {value}", reg_byte;
        mmio_read16 mmio_write16 u16, "mov {value:x}, [{at}]", "mov [{at}], {value:x}", reg;
        mmio_read32 mmio_write32 u32, "mov {value:e}, [{at}]", "mov [{at}], {value:e}", reg;
        mmio_read64 mmio_write64 u64, "mov {value:r}, [{at}]", "mov [{at}], {value:r}", reg;
    }
    #[cfg(target_arch = "aarch64")]
    // A store is behind those to memory that a device shares, and such a load behind a register's: the processor itself orders neither.
    mmio! {
        mmio_read8 mmio_write8 u8, "ldrb {value:w}, [{at}]\ndmb oshld", "dmb oshst\nstrb {value:w}, [{at}]", reg;
        mmio_read16 mmio_write16 u16, "ldrh {value:w}, [{at}]\ndmb oshld", "dmb oshst\nstrh {value:w}, [{at}]", reg;
        mmio_read32 mmio_write32 u32, "ldr {value:w}, [{at}]\ndmb oshld", "dmb oshst\nstr {value:w}, [{at}]", reg;
        mmio_read64 mmio_write64 u64, "ldr {value:x}, [{at}]\ndmb oshld", "dmb oshst\nstr {value:x}, [{at}]", reg;
    }
}

/// As for memory.
#[cfg(target_arch = "x86_64")]
macro_rules! ports {
    ($($read:ident $write:ident $type:ty, $register:tt;)*) => { $(
        #[inline(always)]
        unsafe fn $read(port: usize) -> $type {
            let value: $type;
            // SAFETY: a device's port.
            unsafe { core::arch::asm!(concat!("in ", $register, ", dx"), out($register) value, in("dx") port as u16, options(nostack, preserves_flags)) };
            value
        }
        #[inline(always)]
        unsafe fn $write(port: usize, value: $type) {
            // SAFETY: a device's port.
            unsafe { core::arch::asm!(concat!("out dx, ", $register), in("dx") port as u16, in($register) value, options(nostack, preserves_flags)) };
        }
    )* };
}
/// The processor has no ports, and START_DEVICE assigns none.
#[cfg(target_arch = "aarch64")]
macro_rules! ports {
    ($($read:ident $write:ident $type:ty, $register:tt;)*) => { $(
        unsafe fn $read(_: usize) -> $type {
            <$type>::MAX
        }
        unsafe fn $write(_: usize, _: $type) {}
    )* };
}

// SAFETY: one instruction for each access; the compiler moves no access to memory across it.
unsafe impl PortIo for Windows {
    ports! {
        port_read8 port_write8 u8, "al";
        port_read16 port_write16 u16, "ax";
        port_read32 port_write32 u32, "eax";
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl Pci for Windows {
    fn map_bar(
        device: DeviceId,
        bar: BarIndex,
        offset: usize,
        len: NonZeroUsize,
        caching: Caching,
    ) -> Option<IoMapping> {
        let base = NonZeroUsize::new(hardware(device).map(bar.get(), offset, len.get(), caching))?;
        Some(IoMapping { base, len })
    }
    unsafe fn unmap_bar(mapping: IoMapping) {
        // SAFETY: it came from `map_bar`, and is not used any more.
        unsafe { mapping::unmap(mapping.base.get()) }
    }
    fn bus_master(device: DeviceId, on: bool) -> bool {
        hardware(device).bus_master(on)
    }
    fn config_read(device: DeviceId, offset: u32, width: ConfigWidth) -> u32 {
        hardware(device).config_read(offset, width.bytes())
    }
    fn config_write(device: DeviceId, offset: u32, width: ConfigWidth, value: u32) {
        hardware(device).config_write(offset, width.bytes(), value);
    }
    fn reset_begins(device: DeviceId) -> bool {
        hardware(device).interrupt.reset_begins()
    }
    fn reset_ended(device: DeviceId) {
        hardware(device).interrupt.reset_ended();
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl Dma for Windows {
    fn dma_open(device: DeviceId, limits: &DmaLimits) -> Result<DmaId> {
        Ok(Adapter::open(hardware(device).pdo, limits)?)
    }
    unsafe fn dma_close(dma: DmaId) {
        // SAFETY: of `dma_open`, once, when all that was made with it is freed.
        unsafe { Adapter::close(dma) }
    }
    /// Windows has no answer that could be trusted.
    fn dma_is_isolated(_: DmaId) -> bool {
        false
    }
    fn coherent_alloc(dma: DmaId, len: NonZeroUsize) -> Option<CoherentMemory> {
        adapter(dma).allocate(len)
    }
    unsafe fn coherent_free(dma: DmaId, memory: CoherentMemory) {
        // SAFETY: of `coherent_alloc` with this adapter, and not used again.
        unsafe { adapter(dma).free(memory) }
    }
    unsafe fn dma_map(
        dma: DmaId,
        pages: NonNull<RawPages>,
        offset: usize,
        len: usize,
        direction: DmaDirection,
        bus: &mut [u64],
    ) -> Option<NonNull<RawMapping>> {
        // SAFETY: pages of this port's, which have these bytes; the adapter is open until `dma_unmap`.
        let mapping = unsafe { Mapping::new(adapter(dma), pages.cast(), offset, len, direction, bus) };
        mapping.ok().map(NonNull::cast)
    }
    unsafe fn dma_unmap(_: DmaId, mapping: NonNull<RawMapping>) {
        // SAFETY: of `dma_map`, and not used again.
        unsafe { Mapping::free(mapping.cast()) }
    }
    unsafe fn dma_is_direct(_: DmaId, mapping: NonNull<RawMapping>) -> bool {
        // SAFETY: of `dma_map`, and not undone.
        unsafe { mapping.cast::<Mapping>().as_ref() }.is_direct()
    }
    unsafe fn dma_sync_for_device(_: DmaId, mapping: NonNull<RawMapping>) {
        // SAFETY: of `dma_map`, and not undone.
        unsafe { mapping.cast::<Mapping>().as_ref() }.sync(true)
    }
    unsafe fn dma_sync_for_cpu(_: DmaId, mapping: NonNull<RawMapping>) {
        // SAFETY: of `dma_map`, and not undone.
        unsafe { mapping.cast::<Mapping>().as_ref() }.sync(false)
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl Pages for Windows {
    fn pages_alloc(len: NonZeroUsize) -> Option<NonNull<RawPages>> {
        pages::Pages::alloc(len).map(NonNull::cast)
    }
    unsafe fn pages_free(pages: NonNull<RawPages>) {
        // SAFETY: kp-core is a user of them until here.
        unsafe { pages::Pages::free(pages.cast()) }
    }
    unsafe fn pages_map(pages: NonNull<RawPages>) -> Option<NonNull<u8>> {
        // SAFETY: kp-core is a user of them.
        unsafe { pages.cast::<pages::Pages>().as_ref() }.map()
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl Irq for Windows {
    fn irq_prepare(device: DeviceId, wanted: IrqRequest) -> Result<PreparedVectors> {
        hardware(device).interrupt.prepare(wanted)
    }
    unsafe fn irq_connect(device: DeviceId, entry: IrqEntry) -> Result<()> {
        // SAFETY: vectors are prepared, and the entry may be called until `irq_disconnect` has returned.
        unsafe { hardware(device).interrupt.connect(entry) }
    }
    unsafe fn irq_disconnect(device: DeviceId) {
        hardware(device).interrupt.disconnect();
    }
    fn irq_release(device: DeviceId) {
        hardware(device).interrupt.release();
    }
    fn irq_mask(device: DeviceId, _: u32) -> bool {
        hardware(device).interrupt.mask()
    }
    fn irq_mask_vector(device: DeviceId, vector: u32, mask: bool) -> bool {
        hardware(device).interrupt.mask_message(vector, mask)
    }
    // The system has placed the messages when it has started the device.
    fn irq_hint(_: DeviceId, _: u32, _: u32) {}
    #[inline]
    fn dpc_queue(device: DeviceId, vector: u32) {
        hardware(device).interrupt.queue(vector);
    }
}

// SAFETY: each function is the kernel's own of that meaning, or the port's as its module says.
unsafe impl Mmap for Windows {
    // A ring's memory is the app's own, pinned by a request that stays pending.
    fn can_mmap() -> bool {
        false
    }
    fn alloc_mmap_pages(_: usize) -> Option<NonNull<u8>> {
        None
    }
    unsafe fn free_mmap_pages(_: NonNull<u8>, _: usize) {}
}

/// The record of a device. kp-core names one only until its removal has returned.
#[inline]
fn hardware<'a>(device: DeviceId) -> &'a Hardware {
    // SAFETY: a device's id is its record's address (see `pnp`), and the record stays until the device's removal has returned.
    unsafe { Hardware::of(device) }
}

/// The adapter of a device's transfers. kp-core names one until `dma_close`.
#[inline]
fn adapter<'a>(dma: DmaId) -> &'a Adapter {
    // SAFETY: of `dma_open`, and not closed.
    unsafe { Adapter::of(dma) }
}
