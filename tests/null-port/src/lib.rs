//! A port to no kernel: every function of the contract, with the answer of a machine that has nothing.
//!
//! It is compiled with everything else, so it is whole, and a new port begins as a copy of it. Work through the topics in their order: with
//! memory, log, time, tasks, locks and wait queues a plugin without a device runs; registers and PCI bring one that polls; then come interrupts, and transfers of the device's own. What a
//! kernel calls is in the second half of the contract: `kp_core::host`'s `BoundDevice` and `Session`, and the guide to it is `docs/porting.md`.
#![no_std]

use core::{
    alloc::Layout,
    num::NonZeroUsize,
    panic::Location,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Acquire},
};
use kp_core::{
    DmaLimits, Result, Status,
    host::{
        BarIndex, Caching, CoherentMemory, ConfigWidth, DeviceId, Dma, DmaDirection, DmaId, IoMapping, Irq, IrqEntry,
        IrqRequest, Kernel, Lock, LockKind, Log, Memory, Mmap, Mmio, Pages, Pci, PortIo, PreparedVectors, RawLock,
        RawMapping, RawPages, RawTimer, RawWaitQueue, RawWorkItem, Task, TaskFlags, TaskId, Time, Timeout, TimerEntry,
        Timers, WaitKind, WaitQueues, Woken, WorkEntry, WorkItems,
    },
};

/// The kernel. Its functions are static, so it has no fields.
struct Null;
// SAFETY: what it gives is nothing, so the others are never asked to take anything.
unsafe impl Kernel for Null {}
kp_core::kernel!(Null);

// SAFETY: it gives no memory, so there is none to be wrong about.
unsafe impl Memory for Null {
    fn alloc(_layout: Layout) -> Option<NonNull<u8>> {
        None
    }
    unsafe fn free(_memory: NonNull<u8>, _layout: Layout) {}
}

impl Log for Null {
    fn log(_text: &str) {}
    fn log_is_limited() -> bool {
        false
    }
}

impl Time for Null {
    fn now_ns() -> u64 {
        0
    }
    fn stall_us(_us: u32) {}
    fn sleep_ns(_ns: u64) {}
}

// SAFETY: there is one task, and nothing panics in it.
unsafe impl Task for Null {
    fn task() -> TaskId {
        TaskId(core::num::NonZeroU32::MIN)
    }
    fn poisoned() -> bool {
        false
    }
    fn is_dead(_task: TaskId) -> bool {
        false
    }
    fn task_flags() -> TaskFlags {
        static NOTHING_TO_DO: AtomicUsize = AtomicUsize::new(0);
        // SAFETY: a static is there as long as any task runs.
        unsafe { TaskFlags::new(&NOTHING_TO_DO, 0) }
    }
    fn cond_resched() -> bool {
        false
    }
}

// SAFETY: it makes no lock, so none is ever taken.
unsafe impl Lock for Null {
    fn lock_new(_kind: LockKind, _made: &'static Location<'static>) -> Option<NonNull<RawLock>> {
        None
    }
    unsafe fn lock_free(_lock: NonNull<RawLock>, _kind: LockKind) {}
    unsafe fn lock_acquire(_lock: NonNull<RawLock>, _kind: LockKind) -> usize {
        0
    }
    unsafe fn lock_release(_lock: NonNull<RawLock>, _kind: LockKind, _saved: usize) {}
}

// SAFETY: it makes no wait queue, so nobody ever waits.
unsafe impl WaitQueues for Null {
    fn wait_queue_new() -> Option<NonNull<RawWaitQueue>> {
        None
    }
    unsafe fn wait_queue_free(_queue: NonNull<RawWaitQueue>) {}
    unsafe fn wait_queue_wait(
        _queue: NonNull<RawWaitQueue>,
        word: &AtomicU32,
        seen: u32,
        _timeout: Timeout,
        _kind: WaitKind,
    ) -> Woken {
        if word.load(Acquire) == seen { Woken::Timeout } else { Woken::Changed }
    }
    unsafe fn wait_queue_wake(_queue: NonNull<RawWaitQueue>) {}
    fn wakes_at_irql() -> bool {
        false
    }
}

// SAFETY: it makes no timer, so none ever runs.
unsafe impl Timers for Null {
    fn timer_new(_entry: TimerEntry) -> Option<NonNull<RawTimer>> {
        None
    }
    unsafe fn timer_free(_timer: NonNull<RawTimer>) {}
    unsafe fn timer_start(_timer: NonNull<RawTimer>, _ns: u64) {}
    unsafe fn timer_stop(_timer: NonNull<RawTimer>) {}
}

// SAFETY: it makes no work item, so none ever runs.
unsafe impl WorkItems for Null {
    fn work_item_new(_entry: WorkEntry) -> Option<NonNull<RawWorkItem>> {
        None
    }
    unsafe fn work_item_free(_item: NonNull<RawWorkItem>) {}
    unsafe fn work_item_queue(_item: NonNull<RawWorkItem>) {}
}

// SAFETY: nothing is ever mapped: registers read as all ones, as on a bus where nobody answers.
unsafe impl Mmio for Null {
    unsafe fn mmio_read8(_address: usize) -> u8 {
        u8::MAX
    }
    unsafe fn mmio_read16(_address: usize) -> u16 {
        u16::MAX
    }
    unsafe fn mmio_read32(_address: usize) -> u32 {
        u32::MAX
    }
    unsafe fn mmio_read64(_address: usize) -> u64 {
        u64::MAX
    }
    unsafe fn mmio_write8(_address: usize, _value: u8) {}
    unsafe fn mmio_write16(_address: usize, _value: u16) {}
    unsafe fn mmio_write32(_address: usize, _value: u32) {}
    unsafe fn mmio_write64(_address: usize, _value: u64) {}
}

// SAFETY: there are no ports.
unsafe impl PortIo for Null {
    unsafe fn port_read8(_port: usize) -> u8 {
        u8::MAX
    }
    unsafe fn port_read16(_port: usize) -> u16 {
        u16::MAX
    }
    unsafe fn port_read32(_port: usize) -> u32 {
        u32::MAX
    }
    unsafe fn port_write8(_port: usize, _value: u8) {}
    unsafe fn port_write16(_port: usize, _value: u16) {}
    unsafe fn port_write32(_port: usize, _value: u32) {}
}

// SAFETY: there is no device.
unsafe impl Pci for Null {
    fn map_bar(
        _device: DeviceId,
        _bar: BarIndex,
        _offset: usize,
        _len: NonZeroUsize,
        _caching: Caching,
    ) -> Option<IoMapping> {
        None
    }
    unsafe fn unmap_bar(_mapping: IoMapping) {}
    fn bus_master(_device: DeviceId, _on: bool) -> bool {
        false
    }
    fn config_read(_device: DeviceId, _offset: u32, width: ConfigWidth) -> u32 {
        u32::MAX >> (32 - 8 * width.bytes())
    }
    fn config_write(_device: DeviceId, _offset: u32, _width: ConfigWidth, _value: u32) {}
    fn reset_begins(_device: DeviceId) -> bool {
        true
    }
    fn reset_ended(_device: DeviceId) {}
}

// SAFETY: nothing is ever connected.
unsafe impl Irq for Null {
    fn irq_prepare(_device: DeviceId, _wanted: IrqRequest) -> Result<PreparedVectors> {
        Err(Status::NO_INTERRUPT.into())
    }
    unsafe fn irq_connect(_device: DeviceId, _entry: IrqEntry) -> Result<()> {
        Err(Status::CONNECT_FAILED.into())
    }
    unsafe fn irq_disconnect(_device: DeviceId) {}
    fn irq_release(_device: DeviceId) {}
    fn irq_mask(_device: DeviceId, _vector: u32) -> bool {
        false
    }
    fn irq_mask_vector(_device: DeviceId, _vector: u32, _mask: bool) -> bool {
        false
    }
    fn irq_hint(_device: DeviceId, _vector: u32, _processor: u32) {}
    fn dpc_queue(_device: DeviceId, _vector: u32) {}
}

// SAFETY: nothing is ever made.
unsafe impl Dma for Null {
    fn dma_open(_device: DeviceId, _limits: &DmaLimits) -> Result<DmaId> {
        Err(Status::NO_DMA.into())
    }
    unsafe fn dma_close(_dma: DmaId) {}
    fn dma_is_isolated(_dma: DmaId) -> bool {
        false
    }
    fn coherent_alloc(_dma: DmaId, _len: NonZeroUsize) -> Option<CoherentMemory> {
        None
    }
    unsafe fn coherent_free(_dma: DmaId, _memory: CoherentMemory) {}
    unsafe fn dma_map(
        _dma: DmaId,
        _pages: NonNull<RawPages>,
        _offset: usize,
        _len: usize,
        _direction: DmaDirection,
        _bus: &mut [u64],
    ) -> Option<NonNull<RawMapping>> {
        None
    }
    unsafe fn dma_unmap(_dma: DmaId, _mapping: NonNull<RawMapping>) {}
    unsafe fn dma_is_direct(_dma: DmaId, _mapping: NonNull<RawMapping>) -> bool {
        true
    }
    unsafe fn dma_sync_for_device(_dma: DmaId, _mapping: NonNull<RawMapping>) {}
    unsafe fn dma_sync_for_cpu(_dma: DmaId, _mapping: NonNull<RawMapping>) {}
}

// SAFETY: it gives no memory, and says so.
unsafe impl Pages for Null {
    fn pages_alloc(_len: NonZeroUsize) -> Option<NonNull<RawPages>> {
        None
    }
    unsafe fn pages_free(_pages: NonNull<RawPages>) {}
    unsafe fn pages_map(_pages: NonNull<RawPages>) -> Option<NonNull<u8>> {
        None
    }
}

// SAFETY: it gives no memory, and says so.
unsafe impl Mmap for Null {
    fn can_mmap() -> bool {
        false
    }
    fn alloc_mmap_pages(_len: usize) -> Option<NonNull<u8>> {
        None
    }
    unsafe fn free_mmap_pages(_memory: NonNull<u8>, _len: usize) {}
}
