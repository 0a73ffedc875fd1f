//! The kinds of lock.
use crate::{
    kernel::{event::Event, irql, leaks, memory, pool_box::PoolBox},
    nt::{
        KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock, KeReleaseSpinLockFromDpcLevel,
        SpinLock, wait_reason,
    },
};
use core::{
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicUsize, Ordering::*},
};
use kp_core::host::LockKind;

/// A mutex: who comes first has it; everybody else waits for the event, which lets one through each time.
struct RawMutex {
    /// Holder and waiters.
    inside: AtomicUsize,
    event: Event,
}

impl RawMutex {
    /// None: no memory. Passive.
    fn new() -> Option<PoolBox<Self>> {
        let mutex = PoolBox::with(|| Self { inside: AtomicUsize::new(0), event: Event::unused() })?;
        // SAFETY: new, and it stays in the pool where it is.
        unsafe { mutex.event.init() };
        Some(mutex)
    }

    #[inline]
    fn lock(&self) {
        if self.inside.fetch_add(1, Acquire) != 0 {
            self.event.wait(wait_reason::EXECUTIVE, None);
        }
    }

    /// Undoes [`lock`](Self::lock).
    #[inline]
    fn unlock(&self) {
        if self.inside.fetch_sub(1, Release) != 1 {
            self.event.set(); // somebody waits for it, so nobody frees it
        }
    }
}

/// What every lock that is none points to: nobody looks for their order here.
static NO_LOCK: u8 = 0;

/// A lock of this kind, or null. Passive.
pub(crate) fn new(kind: LockKind) -> *mut u8 {
    if kind == LockKind::Order {
        return (&raw const NO_LOCK).cast_mut();
    }
    let lock = new_uncounted(kind);
    leaks::LOCKS.made(!lock.is_null());
    lock
}

fn new_uncounted(kind: LockKind) -> *mut u8 {
    match kind {
        LockKind::Sleeping => RawMutex::new().map_or(ptr::null_mut(), |mutex| mutex.into_raw().cast().as_ptr()),
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
pub(crate) unsafe fn free(lock: *mut u8, kind: LockKind) {
    if kind == LockKind::Order {
        return;
    }
    let align = if kind == LockKind::Sleeping { align_of::<RawMutex>() } else { align_of::<SpinLock>() };
    // SAFETY: from the pool, with this alignment; nobody uses it any more. Neither kind has anything to drop.
    unsafe { memory::free(lock, align) };
    leaks::LOCKS.gone();
}

/// # Safety
/// It came from [`new`] for this kind, at a level that may take it.
#[inline]
pub(crate) unsafe fn acquire(lock: *mut u8, kind: LockKind) -> usize {
    match kind {
        LockKind::Sleeping => {
            // SAFETY: made for this kind.
            unsafe { &*lock.cast::<RawMutex>() }.lock();
            0
        }
        LockKind::Order => 0,
        LockKind::AtIrql => match irql::raise() {
            Some(before) => {
                // SAFETY: a spin lock, at DISPATCH_LEVEL or above.
                unsafe { KeAcquireSpinLockAtDpcLevel(lock.cast()) };
                before.into()
            }
            // SAFETY: a spin lock; no interrupt is ever connected here, so this is high enough.
            None => unsafe { KeAcquireSpinLockRaiseToDpc(lock.cast()) }.into(),
        },
        // SAFETY: a spin lock, at DISPATCH_LEVEL or below.
        _ => unsafe { KeAcquireSpinLockRaiseToDpc(lock.cast()) }.into(),
    }
}

/// # Safety
/// This thread or processor holds it, and `saved` is what its taking gave.
#[inline]
pub(crate) unsafe fn release(lock: *mut u8, kind: LockKind, saved: usize) {
    match kind {
        // SAFETY: made for this kind.
        LockKind::Sleeping => unsafe { &*lock.cast::<RawMutex>() }.unlock(),
        LockKind::Order => {}
        LockKind::AtIrql if irql::is_known() => {
            // SAFETY: a spin lock that this processor holds.
            unsafe { KeReleaseSpinLockFromDpcLevel(lock.cast()) };
            irql::lower(saved as u8);
        }
        // SAFETY: a spin lock that this processor holds, and the level before.
        _ => unsafe { KeReleaseSpinLock(lock.cast(), saved as u8) },
    }
}

/// A mutex of the port's own, with what it guards.
pub(crate) struct Mutex<T> {
    raw: PoolBox<RawMutex>,
    value: UnsafeCell<T>,
}

impl<T> Mutex<T> {
    /// None: no memory. Passive.
    pub(crate) fn new(value: T) -> Option<Self> {
        let raw = RawMutex::new()?;
        leaks::LOCKS.made(true);
        Some(Self { raw, value: UnsafeCell::new(value) })
    }

    /// Runs `f` with the value, one at a time. Passive.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.raw.lock();
        // SAFETY: under the lock.
        let result = f(unsafe { &mut *self.value.get() });
        self.raw.unlock();
        result
    }
}

impl<T> Drop for Mutex<T> {
    fn drop(&mut self) {
        leaks::LOCKS.gone();
    }
}
