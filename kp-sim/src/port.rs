//! The port: each kernel function, its level, and the machine's part that does it.
use crate::{
    context::{self, Context},
    heap::Late,
    level::{DISPATCH, IRQL, PASSIVE},
    machine::{Channel, WordWait},
};
use kp_core::{
    Result,
    host::{IrqEntry, Kernel, RawLock, RawWaitQueue, TaskFlags, Vectors, Woken, lock_kind},
};
#[cfg(test)]
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::{
    panic::Location,
    ptr,
    sync::atomic::{AtomicU32, AtomicUsize},
};

struct Simulated;
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

/// What a [`RawWaitQueue`] is here.
struct WaitQueue {
    number: u32,
    #[cfg(test)]
    wakes: AtomicU32,
}

/// How often it was woken.
///
/// # Safety
/// `queue` came from `wait_queue_new` and was not freed.
#[cfg(test)]
pub(crate) unsafe fn wakes(queue: *mut RawWaitQueue) -> u32 {
    // SAFETY: the caller's promise: it points to a `WaitQueue`.
    unsafe { &*queue.cast::<WaitQueue>() }.wakes.load(Acquire)
}

/// # Safety
/// `queue` came from `wait_queue_new` and was not freed.
unsafe fn number(queue: *mut RawWaitQueue) -> u32 {
    // SAFETY: the caller's promise: it points to a `WaitQueue`.
    unsafe { &*queue.cast::<WaitQueue>() }.number
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

// SAFETY: each function does what its line in `kp_core::host::Kernel` says, or panics; the modules named say how.
unsafe impl Kernel for Simulated {
    fn alloc(size: usize, align: usize) -> *mut u8 {
        call("alloc", size as u64, PASSIVE, |context| context.machine.allocate(size, align))
    }
    unsafe fn free(memory: *mut u8, size: usize, align: usize) {
        call("free", size as u64, IRQL, |context| {
            let address = memory.expose_provenance();
            context.machine.free_or_defer(context, Late::Memory { address, size, align });
        });
    }
    fn log(text: &str) {
        context::current().machine.write_log(text);
    }
    fn log_is_limited() -> bool {
        false
    }
    fn now_ns() -> u64 {
        context::current().machine.read_clock()
    }
    fn stall_us(us: u32) {
        call("stall", us.into(), IRQL, |context| context.machine.pass(u64::from(us) * 1000));
    }
    fn sleep_ns(ns: u64) {
        call("sleep", ns, PASSIVE, |context| context.machine.sleep(context, ns));
    }
    fn poisoned() -> bool {
        context::current().machine.is_poisoned()
    }

    // A panic unwinds here, and so gives back whatever turn it had: nobody is dead.
    fn task() -> u32 {
        1
    }

    fn is_dead(_: u32) -> bool {
        false
    }

    fn can_mmap() -> bool {
        true
    }
    fn alloc_mmap_pages(len: usize) -> *mut u8 {
        call("alloc_mmap_pages", len as u64, PASSIVE, |context| context.machine.share(len))
    }
    unsafe fn free_mmap_pages(memory: *mut u8, len: usize) {
        call("free_mmap_pages", len as u64, PASSIVE, |context| {
            context.machine.unshare(memory.expose_provenance(), len)
        });
    }
    fn task_flags() -> TaskFlags {
        static ALWAYS: AtomicUsize = AtomicUsize::new(1);
        // SAFETY: a static.
        unsafe { TaskFlags::new(&ALWAYS, 1) }
    }
    fn cond_resched() -> bool {
        call("cond_resched", 0, PASSIVE, |context| context.process.as_ref().is_some_and(|process| process.is_killed()))
    }

    fn lock_new(kind: u32, made: &'static Location<'static>) -> *mut RawLock {
        if kind == lock_kind::ORDER {
            return context::current().machine.new_lock(kind, made);
        }
        call("lock_new", kind.into(), PASSIVE, |context| context.machine.try_new_lock(kind, made))
    }
    unsafe fn lock_free(lock: *mut RawLock, kind: u32) {
        if kind == lock_kind::ORDER {
            context::current().machine.drop_lock(lock.expose_provenance());
            return;
        }
        call("lock_free", 0, IRQL, |context| {
            context.machine.free_or_defer(context, Late::Lock(lock.expose_provenance()));
        });
    }
    unsafe fn lock_acquire(lock: *mut RawLock, kind: u32) -> usize {
        let context = context::current();
        // SAFETY: the caller's promise.
        unsafe { context.machine.acquire(&context, lock, kind) }
    }
    unsafe fn lock_release(lock: *mut RawLock, kind: u32, saved: usize) {
        let context = context::current();
        // SAFETY: the caller's promise.
        unsafe { context.machine.release(&context, lock, kind, saved) };
        context.machine.deliver_pending(&context);
    }

    fn wait_queue_new() -> *mut RawWaitQueue {
        call("wait_queue_new", 0, PASSIVE, |context| {
            if context.machine.fails() {
                return ptr::null_mut();
            }
            let mut state = context.machine.state();
            state.wait_queues += 1;
            state.next_wait_queue += 1;
            let queue = WaitQueue {
                number: state.next_wait_queue,
                #[cfg(test)]
                wakes: AtomicU32::new(0),
            };
            Box::into_raw(Box::new(queue)).cast()
        })
    }
    unsafe fn wait_queue_free(queue: *mut RawWaitQueue) {
        call("wait_queue_free", 0, PASSIVE, |context| {
            // SAFETY: the caller's promise: made by `wait_queue_new`, nobody waits.
            drop(unsafe { Box::from_raw(queue.cast::<WaitQueue>()) });
            context.machine.state().wait_queues -= 1;
        });
    }
    unsafe fn wait_queue_wait(queue: *mut RawWaitQueue, word: &AtomicU32, seen: u32, ns: u64, kind: u32) -> Woken {
        // SAFETY: the caller's promise.
        let queue = unsafe { number(queue) };
        call("wait", queue.into(), PASSIVE, |context| {
            context.machine.wait_word(context, WordWait { queue, word, seen, ns, kind })
        })
    }
    unsafe fn wait_queue_wake(queue: *mut RawWaitQueue) {
        #[cfg(test)]
        // SAFETY: the caller's promise.
        unsafe { &*queue.cast::<WaitQueue>() }.wakes.fetch_add(1, AcqRel);
        // SAFETY: the caller's promise.
        let queue = unsafe { number(queue) };
        call("wake", queue.into(), DISPATCH, |context| {
            context.machine.wake(context.machine.channel(Channel::WaitQueue, queue));
        });
    }

    registers! {
        mmio_read8 mmio_write8 u8;
        mmio_read16 mmio_write16 u16;
        mmio_read32 mmio_write32 u32;
        mmio_read64 mmio_write64 u64;
    }

    fn map(_device: usize, bar: usize, len: usize) -> usize {
        call(
            "map",
            bar as u64,
            PASSIVE,
            |context| {
                if context.machine.fails() { 0 } else { context.machine.bus.map(bar, len) }
            },
        )
    }
    unsafe fn unmap(base: usize, len: usize) {
        call("unmap", len as u64, IRQL, |context| {
            context.machine.free_or_defer(context, Late::Mapping { base, len });
        });
    }
    fn bus_master(_device: usize, on: bool) {
        call("bus_master", on.into(), PASSIVE, |context| context.machine.bus.set_master(on));
    }
    fn config_read(_device: usize, offset: u32, width: u32) -> u32 {
        call("config_read", offset.into(), PASSIVE, |context| context.machine.bus.config_read(offset, width))
    }
    fn config_write(_device: usize, offset: u32, width: u32, value: u32) {
        call("config_write", offset.into(), PASSIVE, |context| {
            context.machine.bus.config_write(offset, width, value);
        });
    }

    fn irq_prepare(_device: usize, kinds: u32, min: u32, max: u32) -> Result<Vectors> {
        call("irq_prepare", kinds.into(), PASSIVE, |context| context.machine.prepare(kinds, min, max))
    }
    unsafe fn irq_connect(_device: usize, entry: IrqEntry) -> Result<()> {
        call("irq_connect", 0, PASSIVE, |context| context.machine.connect(entry))
    }
    unsafe fn irq_disconnect(_device: usize) {
        call("irq_disconnect", 0, PASSIVE, |context| context.machine.disconnect(context));
    }
    fn irq_release(_device: usize) {
        call("irq_release", 0, PASSIVE, |context| context.machine.release_vectors());
    }
    fn irq_mask(_device: usize, vector: u32) -> bool {
        call("irq_mask", vector.into(), IRQL, |context| context.machine.mask(vector))
    }
    fn dpc_queue(_device: usize, vector: u32) {
        call("dpc_queue", vector.into(), IRQL, |context| context.machine.queue_dpc(context, vector));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{boot::boot, bus::Bus, level::level_name, machine::Options, misuse};
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::AtomicU32,
    };

    /// What the simulator says to `f` at this level.
    fn at(level: u8, f: impl FnOnce()) -> String {
        let machine = boot(Bus::new(None, 0), Options { fail_nth: 0, kinds: 0, ram: 0 });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            context::enter(&machine, None, || context::current().interrupted(level, f));
        }));
        misuse::take();
        outcome.map_or_else(|payload| misuse::message(&*payload), |()| "nothing".to_owned())
    }

    #[test]
    fn what_needs_passive_is_refused_above_it() {
        for level in [DISPATCH, IRQL] {
            let is = level_name(level);
            let said = |what: &str| format!("`{what}` was called at {is}; it is allowed at Passive at most");
            assert_eq!(at(level, || _ = Simulated::alloc(8, 8)), said("alloc"));
            assert_eq!(at(level, || Simulated::sleep_ns(1)), said("sleep"));
            assert_eq!(at(level, || _ = Simulated::lock_new(lock_kind::IRQL, Location::caller())), said("lock_new"));
            assert_eq!(at(level, || _ = Simulated::wait_queue_new()), said("wait_queue_new"));
            assert_eq!(at(level, || _ = Simulated::map(1, 0, 4)), said("map"));
            assert_eq!(at(level, || _ = Simulated::config_read(1, 0, 4)), said("config_read"));
            assert_eq!(at(level, || _ = Simulated::irq_prepare(1, 1, 1, 1)), said("irq_prepare"));
        }
        assert_eq!(at(IRQL, || Simulated::stall_us(1)), "nothing");
    }

    #[test]
    fn a_mutex_and_a_wake_are_refused_at_irql() {
        let wrong = || {
            let lock =
                context::current().interrupted(PASSIVE, || Simulated::lock_new(lock_kind::MUTEX, Location::caller()));
            // SAFETY: just made.
            unsafe { Simulated::lock_acquire(lock, lock_kind::MUTEX) };
        };
        assert_eq!(at(DISPATCH, wrong), "`lock_acquire` was called at Dispatch; it is allowed at Passive at most");
        let wrong = || {
            let queue = context::current().interrupted(PASSIVE, Simulated::wait_queue_new);
            // SAFETY: just made.
            unsafe { Simulated::wait_queue_wake(queue) };
        };
        assert_eq!(at(IRQL, wrong), "`wake` was called at Irql; it is allowed at Dispatch at most");
    }

    #[test]
    fn a_turn_and_a_lock_in_two_orders_are_found() {
        let made = Location::caller();
        let wrong = || {
            let kinds = [lock_kind::ORDER, lock_kind::MUTEX];
            let locks = kinds.map(|kind| (Simulated::lock_new(kind, made), kind));
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
        assert!(said.starts_with("lock order: lock #1 (turn, made at kp-sim/src/port.rs:"), "{said}");
    }

    #[test]
    fn a_lock_that_is_kept_at_the_return_is_found() {
        let keeps = || {
            let lock = Simulated::lock_new(lock_kind::DISPATCH, Location::caller());
            // SAFETY: just made.
            unsafe { Simulated::lock_acquire(lock, lock_kind::DISPATCH) };
        };
        let machine = boot(Bus::new(None, 0), Options { fail_nth: 0, kinds: 0, ram: 0 });
        let outcome = catch_unwind(AssertUnwindSafe(|| context::enter(&machine, None, keeps)));
        misuse::take();
        assert_eq!(misuse::message(&*outcome.unwrap_err()), "lock #1 is still held at the return from the kernel");
    }

    #[test]
    fn memory_is_freed_as_it_was_allocated_and_once() {
        let other_size = || {
            let memory = Simulated::alloc(16, 8);
            // SAFETY: wrong on purpose; the simulator refuses before anything is freed.
            unsafe { Simulated::free(memory, 8, 8) };
        };
        assert_eq!(at(PASSIVE, other_size), "memory of 16 bytes aligned to 8 was freed as 8 bytes aligned to 8");
        let twice = || {
            let memory = Simulated::alloc(16, 8);
            // SAFETY: allocated so.
            unsafe { Simulated::free(memory, 16, 8) };
            // SAFETY: wrong on purpose; the simulator refuses before anything is freed.
            unsafe { Simulated::free(memory, 16, 8) };
        };
        assert_eq!(at(PASSIVE, twice), "memory was freed that was never allocated, or is free already");
    }

    #[test]
    fn a_wait_for_what_has_changed_already_returns_at_once() {
        let waits = || {
            let queue = Simulated::wait_queue_new();
            let word = AtomicU32::new(7);
            // SAFETY: just made.
            let woken = unsafe { Simulated::wait_queue_wait(queue, &word, 6, u64::MAX, 0) };
            assert_eq!(woken, Woken::Changed);
            // SAFETY: made above, and not freed.
            let woken = unsafe { Simulated::wait_queue_wait(queue, &word, 7, 1_000_000, 0) };
            assert_eq!(woken, Woken::Timeout);
            // SAFETY: nobody waits.
            unsafe { Simulated::wait_queue_free(queue) };
        };
        assert_eq!(at(PASSIVE, waits), "nothing");
    }
}
