//! Waiting for a word to change. Each waiter has an event of its own in the queue's list, so no wake is lost to another waiter.
use crate::{
    kernel::{memory, names::Routine, port::now_ns},
    nt::*,
};
use core::{
    ffi::c_void,
    mem::transmute,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering::Acquire},
};
use kp_core::host::{Woken, wait_kind};

/// The list of those who wait.
pub(crate) struct WaitQueue {
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

/// A queue, or null. Passive.
pub(crate) fn new() -> *mut WaitQueue {
    let queue = memory::alloc(size_of::<WaitQueue>(), align_of::<WaitQueue>()).cast::<WaitQueue>();
    if !queue.is_null() {
        // SAFETY: fresh memory of this size.
        unsafe { queue.write(WaitQueue { lock: 0, first: ptr::null_mut(), watcher: None }) };
    }
    queue
}

/// # Safety
/// It came from [`new`]; nobody waits.
pub(crate) unsafe fn free(queue: *mut WaitQueue) {
    // SAFETY: the caller's promise.
    unsafe { memory::free(queue.cast(), align_of::<WaitQueue>()) }
}

/// Runs `f` with the list's first place and the watcher's, under the lock.
///
/// # Safety
/// The queue is alive; at DISPATCH_LEVEL or below.
unsafe fn locked<R>(queue: *mut WaitQueue, f: impl FnOnce(&mut *mut Waiter, &mut Option<Watcher>) -> R) -> R {
    // SAFETY: the caller's promise.
    let lock = unsafe { &raw mut (*queue).lock };
    // SAFETY: as above.
    let irql = unsafe { KeAcquireSpinLockRaiseToDpc(lock) };
    // SAFETY: under the lock.
    let first = unsafe { &mut (*queue).first };
    // SAFETY: as above, another field.
    let result = f(first, unsafe { &mut (*queue).watcher });
    // SAFETY: taken above.
    unsafe { KeReleaseSpinLock(lock, irql) };
    result
}

/// Has `f(argument)` called at each wake from now on, outside of the queue's lock, up to DISPATCH_LEVEL.
///
/// # Safety
/// The queue is alive; `f` may be called with the argument as long as it is. At DISPATCH_LEVEL or below.
pub(crate) unsafe fn watch(queue: *mut WaitQueue, f: unsafe fn(*const ()), argument: *const ()) {
    // SAFETY: the caller's promise.
    unsafe { locked(queue, |_, watcher| *watcher = Some((f, argument))) };
}

/// Wakes all who wait, and calls who watches. Not inlined: see `irql`.
///
/// # Safety
/// The queue is alive; at DISPATCH_LEVEL or below.
#[inline(never)]
pub(crate) unsafe fn wake(queue: *mut WaitQueue) {
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
    if let Some((f, argument)) = unsafe { locked(queue, set_all) } {
        // SAFETY: what `watch` was promised: the queue is alive.
        unsafe { f(argument) };
    }
}

static IS_TERMINATING: Routine = Routine::new(c"PsIsThreadTerminating");

/// How often a wait that the end of its thread ends looks for that, in ns: the thread is in a critical region, and so is not woken.
const LOOK_NS: u64 = 100_000_000;

/// Looks up what tells that a thread ends. Not where Wine plays the kernel: it exports it, but ends whoever calls it. Passive, before
/// anything else here.
pub(crate) fn find_all() {
    IS_TERMINATING.find();
}

/// Is the calling thread to end? Not inlined: see `irql`.
#[inline(never)]
fn is_ending() -> bool {
    let Some(f) = IS_TERMINATING.get() else { return false };
    // SAFETY: the kernel's PsIsThreadTerminating has this type.
    let f = unsafe { transmute::<NonNull<c_void>, extern "efiapi" fn(*mut c_void) -> u8>(f) };
    f(PsGetCurrentThread()) != 0
}

/// Waits until `*word != seen`, at most `ns`. Only the end of the thread cuts the waits short that a queue may cut short.
///
/// # Safety
/// The queue is alive. Passive.
pub(crate) unsafe fn wait(queue: *mut WaitQueue, word: &AtomicU32, seen: u32, ns: u64, kind: u32) -> Woken {
    if word.load(Acquire) != seen {
        return Woken::Changed;
    }
    let mut waiter = Waiter { event: Event::UNUSED, previous: ptr::null_mut(), next: ptr::null_mut() };
    let waiter = &raw mut waiter;
    // SAFETY: this function's own.
    let event = unsafe { &raw mut (*waiter).event };
    // SAFETY: as above, writable. A kernel-mode wait keeps the stack in memory.
    unsafe { KeInitializeEvent(event, event_type::SYNCHRONIZATION, 0) };
    // SAFETY: the caller's promise; the waiter stays until `leave`.
    unsafe { locked(queue, |first, _| enter(first, waiter)) };
    // SAFETY: in the list, its event initialised.
    let woken = unsafe { wait_in_list(event, kind != wait_kind::UNINTERRUPTIBLE, word, seen, ns) };
    // SAFETY: entered above.
    unsafe { locked(queue, |first, _| leave(first, waiter)) };
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

/// `may_end`: with the calling thread.
///
/// # Safety
/// The event is initialised and stays. Passive.
unsafe fn wait_in_list(event: *mut Event, may_end: bool, word: &AtomicU32, seen: u32, ns: u64) -> Woken {
    let deadline = if ns == u64::MAX { u64::MAX } else { now_ns().saturating_add(ns) };
    let looks = may_end && IS_TERMINATING.get().is_some();
    loop {
        if word.load(Acquire) != seen {
            return Woken::Changed;
        }
        if looks && is_ending() {
            return Woken::Interrupted;
        }
        let left = if deadline == u64::MAX { u64::MAX } else { deadline.saturating_sub(now_ns()) };
        if left == 0 {
            return Woken::Timeout;
        }
        let left = if looks { left.min(LOOK_NS) } else { left };
        let interval = relative(left);
        let timeout = if left == u64::MAX { ptr::null() } else { &raw const interval };
        // SAFETY: the caller's promise.
        unsafe { KeWaitForSingleObject(event.cast(), wait_reason::USER_REQUEST, mode::KERNEL, 0, timeout) };
    }
}

/// A time from now, as the kernel wants it: in 100 ns, negative. At least one, so that a timer's grain cannot make a loop spin.
pub(crate) fn relative(ns: u64) -> i64 {
    -((ns / 100).clamp(1, i64::MAX as u64) as i64)
}
