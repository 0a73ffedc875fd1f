//! Waiting for a word to change. Each waiter has an event of its own in the signal's list, so no wake is lost to another waiter.
use crate::{kernel::now_ns, memory, nt::*};
use core::{
    ptr,
    sync::atomic::{AtomicU32, Ordering::Acquire},
};
use kp_core::host::{Woken, wait_kind};

/// The list of those who wait.
pub(crate) struct Signal {
    lock: SpinLock,
    /// Under `lock`.
    first: *mut Waiter,
    /// What else looks at its word when it is woken: a function, and its argument. Under `lock`.
    watcher: Option<Watcher>,
}

/// A function, and its argument.
type Watcher = (unsafe fn(*const ()), *const ());

/// One wait. In the list from before the word is looked at until it is over.
struct Waiter {
    event: Event,
    /// The links are the list's, under its lock.
    previous: *mut Waiter,
    next: *mut Waiter,
}

/// A signal, or null. Passive.
pub(crate) fn new() -> *mut Signal {
    let signal = memory::alloc(size_of::<Signal>(), align_of::<Signal>()).cast::<Signal>();
    if !signal.is_null() {
        // SAFETY: fresh memory of this size.
        unsafe { signal.write(Signal { lock: 0, first: ptr::null_mut(), watcher: None }) };
    }
    signal
}

/// # Safety
/// It came from [`new`]; nobody waits.
pub(crate) unsafe fn free(signal: *mut Signal) {
    // SAFETY: the caller's promise.
    unsafe { memory::free(signal.cast(), align_of::<Signal>()) }
}

/// Runs `f` with the list's first place and the watcher's, under the lock.
///
/// # Safety
/// The signal is alive; at DISPATCH_LEVEL or below.
unsafe fn locked<R>(signal: *mut Signal, f: impl FnOnce(&mut *mut Waiter, &mut Option<Watcher>) -> R) -> R {
    // SAFETY: the caller's promise.
    let lock = unsafe { &raw mut (*signal).lock };
    // SAFETY: as above.
    let irql = unsafe { KeAcquireSpinLockRaiseToDpc(lock) };
    // SAFETY: under the lock.
    let first = unsafe { &mut (*signal).first };
    // SAFETY: as above, another field.
    let result = f(first, unsafe { &mut (*signal).watcher });
    // SAFETY: taken above.
    unsafe { KeReleaseSpinLock(lock, irql) };
    result
}

/// Has `f(argument)` called at each wake from now on, outside of the signal's lock, up to DISPATCH_LEVEL.
///
/// # Safety
/// The signal is alive; `f` may be called with the argument as long as it is. At DISPATCH_LEVEL or below.
pub(crate) unsafe fn watch(signal: *mut Signal, f: unsafe fn(*const ()), argument: *const ()) {
    // SAFETY: the caller's promise.
    unsafe { locked(signal, |_, watcher| *watcher = Some((f, argument))) };
}

/// Wakes all who wait, and calls who watches. Not inlined: see `irql`.
///
/// # Safety
/// The signal is alive; at DISPATCH_LEVEL or below.
#[inline(never)]
pub(crate) unsafe fn wake(signal: *mut Signal) {
    let set_all = |first: &mut *mut Waiter, watcher: &mut Option<Watcher>| {
        let mut waiter = *first;
        while !waiter.is_null() {
            // SAFETY: in the list, so alive: it leaves under this lock.
            let event = unsafe { &raw mut (*waiter).event };
            // SAFETY: as above.
            unsafe { KeSetEvent(event, 0, 0) };
            // SAFETY: as above.
            waiter = unsafe { (*waiter).next };
        }
        *watcher
    };
    // SAFETY: the caller's promise.
    if let Some((f, argument)) = unsafe { locked(signal, set_all) } {
        // SAFETY: what `watch` was promised: the signal is alive.
        unsafe { f(argument) };
    }
}

/// Waits until `*word != seen`, at most `ns`. Only the end of the thread cuts the waits short that a signal may cut short.
///
/// # Safety
/// The signal is alive. Passive.
pub(crate) unsafe fn wait(signal: *mut Signal, word: &AtomicU32, seen: u32, ns: u64, kind: u32) -> Woken {
    if word.load(Acquire) != seen {
        return Woken::Changed;
    }
    let mut on_stack = Waiter { event: Event::UNUSED, previous: ptr::null_mut(), next: ptr::null_mut() };
    // The stack of a thread that waits in user mode may be paged out, and the event with it: that one is in the pool. Without
    // memory the wait is one that nothing cuts short.
    let in_pool = match kind {
        wait_kind::UNINTERRUPTIBLE => ptr::null_mut(),
        _ => memory::alloc(size_of::<Waiter>(), align_of::<Waiter>()).cast::<Waiter>(),
    };
    let (waiter, mode) = match in_pool.is_null() {
        true => (&raw mut on_stack, mode::KERNEL),
        false => (in_pool, mode::USER),
    };
    // SAFETY: writable, and this function's own.
    unsafe { waiter.write(Waiter { event: Event::UNUSED, previous: ptr::null_mut(), next: ptr::null_mut() }) };
    // SAFETY: as above.
    let event = unsafe { &raw mut (*waiter).event };
    // SAFETY: as above.
    unsafe { KeInitializeEvent(event, event_type::SYNCHRONIZATION, 0) };
    // SAFETY: the caller's promise; the waiter stays until `leave`.
    unsafe { locked(signal, |first, _| enter(first, waiter)) };
    // SAFETY: in the list, its event initialised.
    let woken = unsafe { wait_in_list(event, mode, word, seen, ns) };
    // SAFETY: entered above.
    unsafe { locked(signal, |first, _| leave(first, waiter)) };
    if !in_pool.is_null() {
        // SAFETY: from `alloc`, and nobody's any more.
        unsafe { memory::free(in_pool.cast(), align_of::<Waiter>()) };
    }
    woken
}

fn enter(first: &mut *mut Waiter, waiter: *mut Waiter) {
    if !first.is_null() {
        // SAFETY: in the list, under its lock.
        unsafe { (**first).previous = waiter };
    }
    // SAFETY: the caller's own waiter.
    unsafe { (*waiter).next = *first };
    *first = waiter;
}

fn leave(first: &mut *mut Waiter, waiter: *mut Waiter) {
    // SAFETY: in the list, under its lock.
    let previous = unsafe { (*waiter).previous };
    // SAFETY: as above.
    let next = unsafe { (*waiter).next };
    if previous.is_null() {
        *first = next;
    } else {
        // SAFETY: as above.
        unsafe { (*previous).next = next };
    }
    if !next.is_null() {
        // SAFETY: as above.
        unsafe { (*next).previous = previous };
    }
}

/// # Safety
/// The event is initialised and stays, in memory that may be waited on in this mode. Passive.
unsafe fn wait_in_list(event: *mut Event, mode: i8, word: &AtomicU32, seen: u32, ns: u64) -> Woken {
    let deadline = match ns {
        u64::MAX => None,
        ns => Some(now_ns().saturating_add(ns)),
    };
    loop {
        if word.load(Acquire) != seen {
            return Woken::Changed;
        }
        let interval = deadline.map(|deadline| relative(deadline.saturating_sub(now_ns())));
        let timeout = interval.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the caller's promise.
        let status = unsafe { KeWaitForSingleObject(event.cast(), wait_reason::USER_REQUEST, mode, 0, timeout) };
        let early = match status {
            STATUS_SUCCESS => continue,
            STATUS_TIMEOUT if deadline.is_some_and(|deadline| now_ns() < deadline) => continue,
            STATUS_TIMEOUT => Woken::Timeout,
            _ => Woken::Signal,
        };
        return if word.load(Acquire) != seen { Woken::Changed } else { early };
    }
}

/// A time from now, as the kernel wants it: in 100 ns, negative. At least one, so that a timer's grain cannot make a loop spin.
pub(crate) fn relative(ns: u64) -> i64 {
    -((ns / 100).clamp(1, i64::MAX as u64) as i64)
}
