//! Waiting for a word to change. Each waiter has an event of its own in the signal's list, so no wake is lost to another waiter. All
//! signals are in one list too: a panic wakes everybody.
use crate::{kernel::now_ns, memory, nt::*, panic};
use core::{
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicU32, Ordering::Acquire},
};
use kp_core::host::{Woken, wait_kind};

/// The list of those who wait.
pub(crate) struct Signal {
    lock: SpinLock,
    /// Under `lock`.
    first: *mut Waiter,
    /// The links of [`ALL`], under its lock.
    previous: *mut Signal,
    next: *mut Signal,
}

/// The signals that there are.
struct All {
    lock: UnsafeCell<SpinLock>,
    /// Under `lock`.
    first: UnsafeCell<*mut Signal>,
}
// SAFETY: `first` and the links are used under the lock, and the lock by the kernel's functions for it.
unsafe impl Sync for All {}

static ALL: All = All { lock: UnsafeCell::new(0), first: UnsafeCell::new(ptr::null_mut()) };

/// Runs `f` with the first of all signals, under their lock. At DISPATCH_LEVEL or below.
fn with_all(f: impl FnOnce(&mut *mut Signal)) {
    // SAFETY: a lock of the driver's, which stays.
    let irql = unsafe { KeAcquireSpinLockRaiseToDpc(ALL.lock.get()) };
    // SAFETY: under the lock.
    f(unsafe { &mut *ALL.first.get() });
    // SAFETY: taken above.
    unsafe { KeReleaseSpinLock(ALL.lock.get(), irql) };
}

/// A panic: whoever waits looks again. At DISPATCH_LEVEL or below.
pub(crate) fn wake_all() {
    with_all(|first| {
        let mut signal = *first;
        while !signal.is_null() {
            // SAFETY: in the list, so alive: it leaves under this lock.
            unsafe { wake(signal) };
            // SAFETY: as above.
            signal = unsafe { (*signal).next };
        }
    });
}

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
        let fresh = Signal { lock: 0, first: ptr::null_mut(), previous: ptr::null_mut(), next: ptr::null_mut() };
        // SAFETY: fresh memory of this size.
        unsafe { signal.write(fresh) };
        with_all(|first| {
            if !first.is_null() {
                // SAFETY: in the list, under its lock.
                unsafe { (**first).previous = signal };
            }
            // SAFETY: this function's own so far.
            unsafe { (*signal).next = *first };
            *first = signal;
        });
    }
    signal
}

/// # Safety
/// It came from [`new`]; nobody waits.
pub(crate) unsafe fn free(signal: *mut Signal) {
    with_all(|first| {
        // SAFETY: in the list, under its lock.
        let previous = unsafe { (*signal).previous };
        // SAFETY: as above.
        let next = unsafe { (*signal).next };
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
    });
    // SAFETY: the caller's promise, and in no list any more.
    unsafe { memory::free(signal.cast(), align_of::<Signal>()) }
}

/// Runs `f` with the list's first place, under its lock.
///
/// # Safety
/// The signal is alive; at DISPATCH_LEVEL or below.
unsafe fn locked(signal: *mut Signal, f: impl FnOnce(&mut *mut Waiter)) {
    // SAFETY: the caller's promise.
    let lock = unsafe { &raw mut (*signal).lock };
    // SAFETY: as above.
    let irql = unsafe { KeAcquireSpinLockRaiseToDpc(lock) };
    // SAFETY: under the lock.
    f(unsafe { &mut (*signal).first });
    // SAFETY: taken above.
    unsafe { KeReleaseSpinLock(lock, irql) };
}

/// Wakes all who wait.
///
/// # Safety
/// The signal is alive; at DISPATCH_LEVEL or below.
pub(crate) unsafe fn wake(signal: *mut Signal) {
    let set_all = |first: &mut *mut Waiter| {
        let mut waiter = *first;
        while !waiter.is_null() {
            // SAFETY: in the list, so alive: it leaves under this lock.
            let event = unsafe { &raw mut (*waiter).event };
            // SAFETY: as above.
            unsafe { KeSetEvent(event, 0, 0) };
            // SAFETY: as above.
            waiter = unsafe { (*waiter).next };
        }
    };
    // SAFETY: the caller's promise.
    unsafe { locked(signal, set_all) }
}

/// Waits until `*word != seen`, at most `ns`. Only the end of the thread and a panic cut the waits short that a signal may cut short.
///
/// # Safety
/// The signal is alive. Passive.
pub(crate) unsafe fn wait(signal: *mut Signal, word: &AtomicU32, seen: u32, ns: u64, kind: u32) -> Woken {
    let is_over = || word.load(Acquire) != seen || (kind != wait_kind::UNINTERRUPTIBLE && panic::is_poisoned());
    if is_over() {
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
    unsafe { locked(signal, |first| enter(first, waiter)) };
    // SAFETY: in the list, its event initialised.
    let woken = unsafe { wait_in_list(event, mode, is_over, ns) };
    // SAFETY: entered above.
    unsafe { locked(signal, |first| leave(first, waiter)) };
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
unsafe fn wait_in_list(event: *mut Event, mode: i8, is_over: impl Fn() -> bool, ns: u64) -> Woken {
    let deadline = match ns {
        u64::MAX => None,
        ns => Some(now_ns().saturating_add(ns)),
    };
    loop {
        if is_over() {
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
        return if is_over() { Woken::Changed } else { early };
    }
}

/// A time from now, as the kernel wants it: in 100 ns, negative. At least one, so that a timer's grain cannot make a loop spin.
pub(crate) fn relative(ns: u64) -> i64 {
    -((ns / 100).clamp(1, i64::MAX as u64) as i64)
}
