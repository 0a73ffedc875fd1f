//! The kinds of lock.
use crate::{
    kernel::{irql, leaks, memory},
    nt::*,
};
use core::{
    ptr,
    sync::atomic::{AtomicUsize, Ordering::*},
};
use kp_core::host::lock_kind;

/// A mutex: who comes first has it; everybody else waits for the event, which lets one through each time.
struct Mutex {
    /// Holder and waiters.
    inside: AtomicUsize,
    event: Event,
}

/// What every lock that is none points to: nobody looks for their order here.
static NO_LOCK: u8 = 0;

/// A lock of this kind, or null. Passive.
pub(crate) fn new(kind: u32) -> *mut u8 {
    if kind == lock_kind::ORDER {
        return (&raw const NO_LOCK).cast_mut();
    }
    let lock = new_uncounted(kind);
    leaks::LOCKS.made(!lock.is_null());
    lock
}

fn new_uncounted(kind: u32) -> *mut u8 {
    match kind {
        lock_kind::MUTEX => {
            let mutex = memory::alloc(size_of::<Mutex>(), align_of::<Mutex>()).cast::<Mutex>();
            if !mutex.is_null() {
                // SAFETY: fresh memory of this size.
                unsafe { mutex.write(Mutex { inside: AtomicUsize::new(0), event: Event::UNUSED }) };
                // SAFETY: as above.
                let event = unsafe { &raw mut (*mutex).event };
                // SAFETY: as above.
                unsafe { KeInitializeEvent(event, event_type::SYNCHRONIZATION, 0) };
            }
            mutex.cast()
        }
        _ => {
            let lock = memory::alloc(size_of::<SpinLock>(), align_of::<SpinLock>()).cast::<SpinLock>();
            if !lock.is_null() {
                // SAFETY: fresh memory of this size; zero is a free spin lock.
                unsafe { lock.write(0) };
            }
            lock.cast()
        }
    }
}

/// # Safety
/// It came from [`new`] for this kind; nobody holds it.
pub(crate) unsafe fn free(lock: *mut u8, kind: u32) {
    if kind == lock_kind::ORDER {
        return;
    }
    let align = if kind == lock_kind::MUTEX { align_of::<Mutex>() } else { align_of::<SpinLock>() };
    // SAFETY: the caller's promise.
    unsafe { memory::free(lock, align) };
    leaks::LOCKS.gone();
}

/// # Safety
/// It came from [`new`] for this kind, at a level that may take it.
#[inline]
pub(crate) unsafe fn acquire(lock: *mut u8, kind: u32) -> usize {
    match kind {
        lock_kind::MUTEX => {
            // SAFETY: the caller's promise.
            let inside = unsafe { &(*lock.cast::<Mutex>()).inside };
            if inside.fetch_add(1, Acquire) != 0 {
                // SAFETY: as above.
                let event = unsafe { &raw mut (*lock.cast::<Mutex>()).event };
                // SAFETY: alive; a kernel-mode wait without a limit ends when the event is set, and only then.
                unsafe { KeWaitForSingleObject(event.cast(), wait_reason::EXECUTIVE, mode::KERNEL, 0, ptr::null()) };
            }
            0
        }
        lock_kind::ORDER => 0,
        lock_kind::IRQL => match irql::raise() {
            Some(before) => {
                // SAFETY: the caller's promise, at DISPATCH_LEVEL or above.
                unsafe { KeAcquireSpinLockAtDpcLevel(lock.cast()) };
                before.into()
            }
            // SAFETY: the caller's promise; no interrupt is ever connected here, so this is high enough.
            None => unsafe { KeAcquireSpinLockRaiseToDpc(lock.cast()) }.into(),
        },
        // SAFETY: the caller's promise.
        _ => unsafe { KeAcquireSpinLockRaiseToDpc(lock.cast()) }.into(),
    }
}

/// # Safety
/// This thread or processor holds it, and `saved` is what its taking gave.
#[inline]
pub(crate) unsafe fn release(lock: *mut u8, kind: u32, saved: usize) {
    match kind {
        lock_kind::MUTEX => {
            // SAFETY: the caller's promise.
            let inside = unsafe { &(*lock.cast::<Mutex>()).inside };
            if inside.fetch_sub(1, Release) != 1 {
                // SAFETY: as above.
                let event = unsafe { &raw mut (*lock.cast::<Mutex>()).event };
                // SAFETY: somebody waits for it, so nobody frees it.
                unsafe { KeSetEvent(event, 0, 0) };
            }
        }
        lock_kind::ORDER => {}
        lock_kind::IRQL if irql::is_known() => {
            // SAFETY: the caller's promise.
            unsafe { KeReleaseSpinLockFromDpcLevel(lock.cast()) };
            irql::lower(saved as u8);
        }
        // SAFETY: the caller's promise.
        _ => unsafe { KeReleaseSpinLock(lock.cast(), saved as u8) },
    }
}
