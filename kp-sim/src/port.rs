//! The port: each kernel function, its level, and the machine's part that does it.
use crate::{
    context::{self, Context},
    heap::Late,
    level::{DISPATCH, IRQL, PASSIVE},
    machine::{Channel, WordWait},
    misuse::misuse,
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
use std::{
    alloc::Layout,
    num::{NonZeroU32, NonZeroUsize},
    panic::Location,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicUsize},
};

struct Simulated;
// SAFETY: every function is of the simulated kernel that the thread is in.
unsafe impl Kernel for Simulated {}
kp_core::kernel!(Simulated);

/// One kernel call: checked, and a point at which others may run, before and after.
fn call<R>(what: &'static str, value: u64, highest: u8, f: impl FnOnce(&Context) -> R) -> R {
    let context = context::current();
    context.at_most(highest, what);
    context.machine.schedule_point(what, value);
    let answer = f(&context);
    context.machine.deliver_pending(&context);
    answer
}

/// A [`RawWaitQueue`] here is no memory: its address is its number.
pub(crate) fn queue_number(queue: NonNull<RawWaitQueue>) -> u32 {
    queue.addr().get() as u32
}

/// How often a wait queue of this kernel was woken.
#[cfg(test)]
pub(crate) fn wakes(machine: &crate::machine::Machine, queue: NonNull<RawWaitQueue>) -> u32 {
    machine.state().wait_queues.get(&queue_number(queue)).copied().unwrap_or_default()
}

macro_rules! registers {
    ($($read:ident $write:ident $type:ty;)*) => { $(
        unsafe fn $read(address: usize) -> $type {
            call("read", short(address), IRQL, |context| context.machine.bus.read(address, size_of::<$type>() as u8)) as $type
        }
        unsafe fn $write(address: usize, value: $type) {
            call("write", short(address), IRQL, |context| {
                context.machine.bus.write(address, size_of::<$type>() as u8, value.into());
            });
        }
    )* };
}

/// BAR and offset, for a trace.
fn short(address: usize) -> u64 {
    crate::bus::place(address)
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl Memory for Simulated {
    fn alloc(layout: Layout) -> Option<NonNull<u8>> {
        let (size, align) = (layout.size(), layout.align());
        NonNull::new(call("alloc", size as u64, PASSIVE, |context| context.machine.allocate(size, align)))
    }
    unsafe fn free(memory: NonNull<u8>, layout: Layout) {
        let (size, align) = (layout.size(), layout.align());
        call("free", size as u64, IRQL, |context| {
            let address = memory.as_ptr().expose_provenance();
            context.machine.free_or_defer(context, Late::Memory { address, size, align });
        });
    }
}

impl Log for Simulated {
    fn log(text: &str) {
        context::current().machine.write_log(text);
    }
    fn log_is_limited() -> bool {
        false
    }
}

impl Time for Simulated {
    fn now_ns() -> u64 {
        context::current().machine.read_clock()
    }
    fn stall_us(us: u32) {
        call("stall", us.into(), IRQL, |context| context.machine.pass(u64::from(us) * 1000));
    }
    fn sleep_ns(ns: u64) {
        call("sleep", ns, PASSIVE, |context| context.machine.sleep(context, ns));
    }
}

// SAFETY: a panic unwinds, and so unlocks what its thread holds: no task is dead.
unsafe impl Task for Simulated {
    fn poisoned() -> bool {
        context::current().machine.is_poisoned()
    }
    // A panic unwinds here, and so gives back whatever lock it held: nobody is dead.
    fn task() -> TaskId {
        TaskId(NonZeroU32::MIN)
    }
    fn is_dead(_: TaskId) -> bool {
        false
    }
    fn task_flags() -> TaskFlags {
        static ALWAYS: AtomicUsize = AtomicUsize::new(1);
        // SAFETY: a static.
        unsafe { TaskFlags::new(&ALWAYS, 1) }
    }
    fn cond_resched() -> bool {
        call("cond_resched", 0, PASSIVE, |context| context.process.as_ref().is_some_and(|process| process.is_killed()))
    }
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl Lock for Simulated {
    fn lock_new(kind: LockKind, made: &'static Location<'static>) -> Option<NonNull<RawLock>> {
        match kind {
            LockKind::Order => context::current().machine.new_lock(kind, made),
            _ => call("lock_new", (kind as u32).into(), PASSIVE, |context| context.machine.try_new_lock(kind, made)),
        }
    }
    unsafe fn lock_free(lock: NonNull<RawLock>, kind: LockKind) {
        if kind == LockKind::Order {
            let machine = &context::current().machine;
            machine.drop_lock(machine.lock_number(lock));
            return;
        }
        call("lock_free", 0, IRQL, |context| {
            context.machine.free_or_defer(context, Late::Lock(context.machine.lock_number(lock)));
        });
    }
    unsafe fn lock_acquire(lock: NonNull<RawLock>, kind: LockKind) -> usize {
        let context = context::current();
        context.machine.acquire(&context, lock, kind)
    }
    unsafe fn lock_release(lock: NonNull<RawLock>, kind: LockKind, saved: usize) {
        let context = context::current();
        context.machine.release(&context, lock, kind, saved);
        context.machine.deliver_pending(&context);
    }
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl WaitQueues for Simulated {
    fn wait_queue_new() -> Option<NonNull<RawWaitQueue>> {
        call("wait_queue_new", 0, PASSIVE, |context| {
            if context.machine.fails() {
                return None;
            }
            let mut state = context.machine.state();
            state.next_wait_queue += 1;
            let number = state.next_wait_queue;
            state.wait_queues.insert(number, 0);
            NonNull::new(ptr::without_provenance_mut(number as usize))
        })
    }
    unsafe fn wait_queue_free(queue: NonNull<RawWaitQueue>) {
        let queue = queue_number(queue);
        call("wait_queue_free", queue.into(), IRQL, |context| {
            context.machine.state().wait_queues.remove(&queue);
        });
    }
    unsafe fn wait_queue_wait(
        queue: NonNull<RawWaitQueue>,
        word: &AtomicU32,
        seen: u32,
        timeout: Timeout,
        kind: WaitKind,
    ) -> Woken {
        let queue = queue_number(queue);
        call("wait", queue.into(), PASSIVE, |context| {
            context.machine.wait_word(context, WordWait { queue, word, seen, timeout, kind })
        })
    }
    unsafe fn wait_queue_wake(queue: NonNull<RawWaitQueue>) {
        let queue = queue_number(queue);
        let highest = if Self::wakes_at_irql() { IRQL } else { DISPATCH };
        call("wake", queue.into(), highest, |context| {
            match context.machine.state().wait_queues.get_mut(&queue) {
                Some(wakes) => *wakes = wakes.wrapping_add(1),
                None => misuse("a wait queue is woken that was freed"),
            }
            context.machine.wake(context.machine.channel(Channel::WaitQueue, queue));
        });
    }
    fn wakes_at_irql() -> bool {
        context::current().machine.options().wakes_at_irql
    }
}

/// What kp-core is given here is no memory: its address is its number.
fn numbered<T>(number: u32) -> Option<NonNull<T>> {
    NonNull::new(ptr::without_provenance_mut(number as usize))
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl Timers for Simulated {
    fn timer_new(entry: TimerEntry) -> Option<NonNull<RawTimer>> {
        call("timer_new", 0, PASSIVE, |context| {
            if context.machine.fails() { None } else { numbered(context.machine.state().timers.make(entry)) }
        })
    }
    unsafe fn timer_free(timer: NonNull<RawTimer>) {
        let number = timer.addr().get() as u32;
        call("timer_free", number.into(), PASSIVE, |context| context.machine.free_timer(context, number));
    }
    unsafe fn timer_start(timer: NonNull<RawTimer>, ns: u64) {
        let number = timer.addr().get() as u32;
        call("timer_start", ns, DISPATCH, |context| {
            context.machine.set_timer(number, Some(context.machine.now().saturating_add(ns)));
        });
    }
    unsafe fn timer_stop(timer: NonNull<RawTimer>) {
        let number = timer.addr().get() as u32;
        call("timer_stop", number.into(), DISPATCH, |context| context.machine.set_timer(number, None));
    }
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl WorkItems for Simulated {
    fn work_item_new(entry: WorkEntry) -> Option<NonNull<RawWorkItem>> {
        call("work_item_new", 0, PASSIVE, |context| {
            if context.machine.fails() { None } else { numbered(context.machine.state().work_items.make(entry)) }
        })
    }
    unsafe fn work_item_free(item: NonNull<RawWorkItem>) {
        let number = item.addr().get() as u32;
        call("work_item_free", number.into(), PASSIVE, |context| context.machine.free_work_item(context, number));
    }
    unsafe fn work_item_queue(item: NonNull<RawWorkItem>) {
        let number = item.addr().get() as u32;
        call("work_item_queue", number.into(), DISPATCH, |context| context.machine.queue_work(number));
    }
}

// SAFETY: each access goes to the device's model, in program order.
unsafe impl Mmio for Simulated {
    registers! {
        mmio_read8 mmio_write8 u8;
        mmio_read16 mmio_write16 u16;
        mmio_read32 mmio_write32 u32;
        mmio_read64 mmio_write64 u64;
    }
}

// SAFETY: each access goes to the device's model, in program order.
unsafe impl PortIo for Simulated {
    registers! {
        port_read8 port_write8 u8;
        port_read16 port_write16 u16;
        port_read32 port_write32 u32;
    }
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl Pci for Simulated {
    fn map_bar(_device: DeviceId, bar: BarIndex, offset: usize, len: NonZeroUsize, _: Caching) -> Option<IoMapping> {
        let (bar, bytes) = (bar.get(), len.get());
        let base = call("map", bar as u64, PASSIVE, |context| {
            if context.machine.fails() { 0 } else { context.machine.bus.map(bar, offset, bytes) }
        });
        Some(IoMapping { base: NonZeroUsize::new(base)?, len })
    }
    unsafe fn unmap_bar(mapping: IoMapping) {
        let (base, len) = (mapping.base.get(), mapping.len.get());
        call("unmap", len as u64, IRQL, |context| {
            context.machine.free_or_defer(context, Late::Mapping { base, len });
        });
    }
    fn bus_master(_device: DeviceId, on: bool) -> bool {
        call("bus_master", on.into(), PASSIVE, |context| context.machine.bus.set_master(on))
    }
    fn config_read(_device: DeviceId, offset: u32, width: ConfigWidth) -> u32 {
        call("config_read", offset.into(), PASSIVE, |context| context.machine.bus.config_read(offset, width.bytes()))
    }
    fn config_write(_device: DeviceId, offset: u32, width: ConfigWidth, value: u32) {
        call("config_write", offset.into(), PASSIVE, |context| {
            context.machine.bus.config_write(offset, width.bytes(), value);
        });
    }
    fn reset_begins(_device: DeviceId) -> bool {
        true
    }
    fn reset_ended(_device: DeviceId) {}
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl Irq for Simulated {
    fn irq_prepare(_device: DeviceId, wanted: IrqRequest) -> Result<PreparedVectors> {
        call("irq_prepare", wanted.kinds.bits().into(), PASSIVE, |context| context.machine.prepare(wanted))
    }
    unsafe fn irq_connect(_device: DeviceId, entry: IrqEntry) -> Result<()> {
        call("irq_connect", 0, PASSIVE, |context| context.machine.connect(entry))
    }
    unsafe fn irq_disconnect(_device: DeviceId) {
        call("irq_disconnect", 0, PASSIVE, |context| context.machine.disconnect(context));
    }
    fn irq_release(_device: DeviceId) {
        call("irq_release", 0, PASSIVE, |context| context.machine.release_vectors());
    }
    fn irq_mask(_device: DeviceId, vector: u32) -> bool {
        call("irq_mask", vector.into(), IRQL, |context| context.machine.mask(vector))
    }
    fn irq_mask_vector(_device: DeviceId, vector: u32, mask: bool) -> bool {
        let name = if mask { "irq_mask_vector" } else { "irq_unmask_vector" };
        call(name, vector.into(), DISPATCH, |context| context.machine.mask_vector(vector, mask));
        true
    }
    fn irq_hint(_device: DeviceId, vector: u32, processor: u32) {
        call("irq_hint", vector.into(), DISPATCH, |context| context.machine.hint(vector, processor));
    }
    fn dpc_queue(_device: DeviceId, vector: u32) {
        call("dpc_queue", vector.into(), IRQL, |context| context.machine.queue_dpc(context, vector));
    }
}

/// A device has its transfers once.
const ONLY_DMA: DmaId = DmaId::new(1).unwrap();

/// Pages and mappings here are no memory: their address is their number.
fn number<T>(raw: NonNull<T>) -> usize {
    raw.addr().get()
}

fn raw<T>(number: usize) -> Option<NonNull<T>> {
    NonNull::new(ptr::without_provenance_mut(number))
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl Dma for Simulated {
    fn dma_open(_device: DeviceId, limits: &DmaLimits) -> Result<DmaId> {
        call("dma_open", limits.address_bits().into(), PASSIVE, |context| {
            context.machine.open_dma(limits).map(|()| ONLY_DMA)
        })
    }
    unsafe fn dma_close(_dma: DmaId) {
        call("dma_close", 0, PASSIVE, |context| context.machine.close_dma());
    }
    fn dma_is_isolated(_dma: DmaId) -> bool {
        true
    }
    fn coherent_alloc(_dma: DmaId, len: NonZeroUsize) -> Option<CoherentMemory> {
        call("coherent_alloc", len.get() as u64, PASSIVE, |context| context.machine.alloc_coherent(len))
    }
    unsafe fn coherent_free(_dma: DmaId, memory: CoherentMemory) {
        let (address, len) = (memory.start.addr().get(), memory.len.get());
        call("coherent_free", len as u64, IRQL, |context| {
            context.machine.free_or_defer(context, Late::Coherent { address, len });
        });
    }
    unsafe fn dma_map(
        _dma: DmaId,
        pages: NonNull<RawPages>,
        offset: usize,
        len: usize,
        direction: DmaDirection,
        bus: &mut [u64],
    ) -> Option<NonNull<RawMapping>> {
        raw(call("dma_map", len as u64, PASSIVE, |context| {
            context.machine.map_pages(number(pages), offset..offset + len, direction, bus)
        })?)
    }
    unsafe fn dma_unmap(_dma: DmaId, mapping: NonNull<RawMapping>) {
        call("dma_unmap", 0, IRQL, |context| {
            context.machine.free_or_defer(context, Late::DmaMapping(number(mapping)));
        });
    }
    unsafe fn dma_is_direct(_dma: DmaId, _mapping: NonNull<RawMapping>) -> bool {
        false
    }
    unsafe fn dma_sync_for_device(_dma: DmaId, mapping: NonNull<RawMapping>) {
        call("sync_for_device", 0, DISPATCH, |context| context.machine.sync_pages(number(mapping), true));
    }
    unsafe fn dma_sync_for_cpu(_dma: DmaId, mapping: NonNull<RawMapping>) {
        call("sync_for_cpu", 0, DISPATCH, |context| context.machine.sync_pages(number(mapping), false));
    }
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl Pages for Simulated {
    fn pages_alloc(len: NonZeroUsize) -> Option<NonNull<RawPages>> {
        raw(call("pages_alloc", len.get() as u64, PASSIVE, |context| context.machine.alloc_pages(len))?)
    }
    unsafe fn pages_free(pages: NonNull<RawPages>) {
        call("pages_free", 0, IRQL, |context| context.machine.free_or_defer(context, Late::Pages(number(pages))));
    }
    unsafe fn pages_map(pages: NonNull<RawPages>) -> Option<NonNull<u8>> {
        call("pages_map", 0, PASSIVE, |context| context.machine.pages_at(number(pages)))
    }
}

// SAFETY: each function does what its line in the contract says, or panics; the modules named say how.
unsafe impl Mmap for Simulated {
    fn can_mmap() -> bool {
        !context::current().machine.options().no_mmap
    }
    fn alloc_mmap_pages(len: usize) -> Option<NonNull<u8>> {
        NonNull::new(call("alloc_mmap_pages", len as u64, PASSIVE, |context| context.machine.share(len)))
    }
    unsafe fn free_mmap_pages(memory: NonNull<u8>, len: usize) {
        call("free_mmap_pages", len as u64, PASSIVE, |context| {
            context.machine.unshare(memory.as_ptr().expose_provenance(), len)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{boot::boot, bus::Bus, level::level_name, machine::Options, misuse};
    use kp_core::host::IrqKinds;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::AtomicU32,
    };

    /// What the simulator says to `f` at this level.
    fn at(level: u8, f: impl FnOnce()) -> String {
        let machine = boot(Bus::new(None, 0), Options::default());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            context::enter(&machine, None, || context::current().interrupted(level, f));
        }));
        misuse::take();
        outcome.map_or_else(|payload| misuse::message(&*payload), |()| "nothing".to_owned())
    }

    const DEVICE: DeviceId = DeviceId::new(1).unwrap();
    const BAR: BarIndex = BarIndex::new(0).unwrap();

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    #[test]
    fn what_needs_passive_is_refused_above_it() {
        let wanted = IrqRequest { kinds: IrqKinds::from_bits(1), min: 1, max: 1 };
        for level in [DISPATCH, IRQL] {
            let is = level_name(level);
            let said = |what: &str| format!("`{what}` was called at {is}; it is allowed at Passive at most");
            assert_eq!(at(level, || _ = Simulated::alloc(Layout::new::<u64>())), said("alloc"));
            assert_eq!(at(level, || Simulated::sleep_ns(1)), said("sleep"));
            assert_eq!(at(level, || _ = Simulated::lock_new(LockKind::AtIrql, Location::caller())), said("lock_new"));
            assert_eq!(at(level, || _ = Simulated::wait_queue_new()), said("wait_queue_new"));
            assert_eq!(
                at(level, || _ = Simulated::map_bar(DEVICE, BAR, 0, NonZeroUsize::MIN, Caching::Uncached)),
                said("map")
            );
            assert_eq!(at(level, || _ = Simulated::config_read(DEVICE, 0, ConfigWidth::Dword)), said("config_read"));
            assert_eq!(at(level, || _ = Simulated::irq_prepare(DEVICE, wanted)), said("irq_prepare"));
        }
        assert_eq!(at(IRQL, || Simulated::stall_us(1)), "nothing");
    }

    #[test]
    fn a_mutex_and_a_wake_are_refused_at_irql() {
        let wrong = || {
            let lock =
                context::current().interrupted(PASSIVE, || Simulated::lock_new(LockKind::Sleeping, Location::caller()));
            // SAFETY: just made.
            unsafe { Simulated::lock_acquire(lock.unwrap(), LockKind::Sleeping) };
        };
        assert_eq!(at(DISPATCH, wrong), "`lock_acquire` was called at Dispatch; it is allowed at Passive at most");
        let wrong = || {
            let queue = context::current().interrupted(PASSIVE, Simulated::wait_queue_new);
            // SAFETY: just made.
            unsafe { Simulated::wait_queue_wake(queue.unwrap()) };
        };
        assert_eq!(at(IRQL, wrong), "`wake` was called at Irql; it is allowed at Dispatch at most");
    }

    #[test]
    fn a_wake_after_its_queue_was_freed_is_found() {
        let wrong = || {
            let queue = Simulated::wait_queue_new().unwrap();
            // SAFETY: just made.
            unsafe { Simulated::wait_queue_free(queue) };
            // SAFETY: it is not: the simulator says so, and has no memory behind it.
            unsafe { Simulated::wait_queue_wake(queue) };
        };
        assert_eq!(at(PASSIVE, wrong), "a wait queue is woken that was freed");
    }

    #[test]
    fn a_robust_mutex_and_a_lock_in_two_orders_are_found() {
        let made = Location::caller();
        let wrong = || {
            let kinds = [LockKind::Order, LockKind::Sleeping];
            let locks = kinds.map(|kind| (Simulated::lock_new(kind, made).unwrap(), kind));
            for pair in [[0, 1], [1, 0]] {
                for at in pair {
                    // SAFETY: made above.
                    unsafe { Simulated::lock_acquire(locks[at].0, locks[at].1) };
                }
                for at in [pair[1], pair[0]] {
                    // SAFETY: taken above.
                    unsafe { Simulated::lock_release(locks[at].0, locks[at].1, 0) };
                }
            }
        };
        let said = at(PASSIVE, wrong);
        assert!(said.starts_with("lock order: lock #1 (robust mutex, made at kp-sim/src/port.rs:"), "{said}");
    }

    #[test]
    fn a_lock_that_is_kept_at_the_return_is_found() {
        let keeps = || {
            let lock = Simulated::lock_new(LockKind::AtDispatch, Location::caller());
            // SAFETY: just made.
            unsafe { Simulated::lock_acquire(lock.unwrap(), LockKind::AtDispatch) };
        };
        let machine = boot(Bus::new(None, 0), Options::default());
        let outcome = catch_unwind(AssertUnwindSafe(|| context::enter(&machine, None, keeps)));
        misuse::take();
        assert_eq!(misuse::message(&*outcome.unwrap_err()), "lock #1 is still held at the return from the kernel");
    }

    #[test]
    fn memory_is_freed_as_it_was_allocated_and_once() {
        let other_size = || {
            let memory = Simulated::alloc(layout(16)).unwrap();
            // SAFETY: wrong on purpose; the simulator refuses before anything is freed.
            unsafe { Simulated::free(memory, layout(8)) };
        };
        assert_eq!(at(PASSIVE, other_size), "memory of 16 bytes aligned to 8 was freed as 8 bytes aligned to 8");
        let twice = || {
            let memory = Simulated::alloc(layout(16)).unwrap();
            // SAFETY: allocated so.
            unsafe { Simulated::free(memory, layout(16)) };
            // SAFETY: wrong on purpose; the simulator refuses before anything is freed.
            unsafe { Simulated::free(memory, layout(16)) };
        };
        assert_eq!(at(PASSIVE, twice), "memory was freed that was never allocated, or is free already");
    }

    #[test]
    fn a_wait_for_what_has_changed_already_returns_at_once() {
        let waits = || {
            let queue = Simulated::wait_queue_new().unwrap();
            let word = AtomicU32::new(7);
            // SAFETY: just made.
            let woken =
                unsafe { Simulated::wait_queue_wait(queue, &word, 6, Timeout::NEVER, WaitKind::Uninterruptible) };
            assert_eq!(woken, Woken::Changed);
            // SAFETY: made above, and not freed.
            let woken = unsafe {
                Simulated::wait_queue_wait(queue, &word, 7, Timeout::from_ns(1_000_000), WaitKind::Uninterruptible)
            };
            assert_eq!(woken, Woken::Timeout);
            // SAFETY: nobody waits.
            unsafe { Simulated::wait_queue_free(queue) };
        };
        assert_eq!(at(PASSIVE, waits), "nothing");
    }
}
