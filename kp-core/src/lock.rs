//! Locks that know the highest level that takes them.
//!
//! There are no guards: a forgotten guard would give `Passive` back with the lock held. The closure gets the data and the level
//! it now runs at, and locks are released in the reverse order of their taking because closures nest.
use crate::{
    AtMost, Ceiling, Irql, Level, Passive, Result, Status,
    host::{LockKind, RawLock, kernel},
    level::Raised,
};
use core::{cell::UnsafeCell, marker::PhantomData, panic::Location, ptr::NonNull};

/// A kernel's lock of kind `L::LOCK`. INVARIANT: made by `lock_new`, alive until dropped.
struct Raw<L: Level> {
    lock: NonNull<RawLock>,
    _level: PhantomData<fn(L)>,
}

impl<L: Level> Raw<L> {
    #[track_caller]
    fn new() -> Result<Self> {
        let lock = kernel::lock_new(L::LOCK, Location::caller()).ok_or(Status::NO_MEMORY)?;
        Ok(Self { lock, _level: PhantomData })
    }

    /// Takes the lock until the answer is dropped. At `L` or below.
    #[inline(always)]
    fn hold(&self) -> Held<'_, L> {
        // SAFETY: alive by the invariant; released once, by `Held`.
        let saved = unsafe { kernel::lock_acquire(self.lock, L::LOCK) };
        Held { raw: self, saved }
    }
}

impl<L: Level> Drop for Raw<L> {
    fn drop(&mut self) {
        // SAFETY: alive by the invariant, and nobody holds it: a holder borrows it.
        unsafe { kernel::lock_free(self.lock, L::LOCK) }
    }
}

/// Releases the lock when dropped, also by a panic in a test.
struct Held<'a, L: Level> {
    raw: &'a Raw<L>,
    saved: usize,
}

impl<L: Level> Drop for Held<'_, L> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: taken by `hold`, on this thread; closures nest, so locks are released in reverse order.
        unsafe { kernel::lock_release(self.raw.lock, L::LOCK, self.saved) }
    }
}

/// A spin lock that is taken at level `C` or below; its holder runs at `C`.
///
/// `SpinLock<T, Irql>` guards what an interrupt handler touches, `SpinLock<T, Dispatch>` what only `int_at_dpc` and calls
/// touch. Taking it twice, or two locks in different orders, is a deadlock: the simulator reports both.
pub struct SpinLock<T, C: Ceiling> {
    raw: Raw<C>,
    data: UnsafeCell<T>,
}
// SAFETY: the lock lets one thread at a time to the data, and may itself be used from any thread.
unsafe impl<T: Send, C: Ceiling> Sync for SpinLock<T, C> {}
// SAFETY: it owns its data, which is Send; a port's lock may be used from any thread.
unsafe impl<T: Send, C: Ceiling> Send for SpinLock<T, C> {}

impl<T, C: Ceiling> SpinLock<T, C> {
    /// A lock around `data`. Errors: `NO_MEMORY`.
    #[track_caller]
    pub fn new(_cx: &mut Passive, data: T) -> Result<Self> {
        Ok(Self { raw: Raw::new()?, data: UnsafeCell::new(data) })
    }

    /// Runs `f` with the data and the raised level; the level outside is out of reach meanwhile.
    ///
    /// Use the inner level: with the outer one the compiler says that the closure needs `*cx` for itself (E0500, E0501).
    #[inline(always)]
    pub fn with<R, L: AtMost<C>>(&self, _cx: &mut L, f: impl FnOnce(&mut T, &mut C) -> R) -> R {
        let _held = self.raw.hold();
        // SAFETY: the lock is held until `f` has returned, so nobody else looks at the data.
        let data = unsafe { &mut *self.data.get() };
        C::lend(|level| f(data, level), Raised(()))
    }

    /// The data, without locking: nobody else has the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

impl<T> SpinLock<T, Irql> {
    /// As `with`, where no level is at hand: every level is at most Irql.
    #[inline(always)]
    pub(crate) fn with_any<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let _held = self.raw.hold();
        // SAFETY: the lock is held until `f` has returned, so nobody else looks at the data.
        f(unsafe { &mut *self.data.get() })
    }
}

/// A lock whose holder may sleep. For Passive.
///
/// Locking it is not ended early by a close or a signal: its owner's sleeps are, when the owner's session closes or the device goes, so it comes
/// free then. Who sleeps long with a lock held keeps other sessions' closes waiting.
pub struct Mutex<T> {
    raw: Raw<Passive>,
    data: UnsafeCell<T>,
}
// SAFETY: the lock lets one thread at a time to the data, and may itself be used from any thread.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: it owns its data, which is Send; a port's lock may be used from any thread.
unsafe impl<T: Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// A lock around `data`. Errors: `NO_MEMORY`.
    #[track_caller]
    pub fn new(_cx: &mut Passive, data: T) -> Result<Self> {
        Ok(Self { raw: Raw::new()?, data: UnsafeCell::new(data) })
    }

    /// Runs `f` with the data, at Passive.
    pub fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut T, &mut Passive) -> R) -> R {
        let _held = self.raw.hold();
        // SAFETY: the lock is held until `f` has returned, so nobody else looks at the data.
        f(unsafe { &mut *self.data.get() }, cx)
    }

    /// The data, without locking: nobody else has the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

/// A place in the order of locks, for what is waited for like a lock: a kernel's deadlock detector sees it among them. INVARIANT: made by
/// `lock_new`, alive until dropped.
pub(crate) struct LockOrder(NonNull<RawLock>);
// SAFETY: a kernel's lock may be used from any thread.
unsafe impl Sync for LockOrder {}
// SAFETY: a port's lock may be freed on any thread.
unsafe impl Send for LockOrder {}

impl LockOrder {
    #[track_caller]
    pub(crate) fn new(_cx: &mut Passive) -> Result<Self> {
        Ok(Self(kernel::lock_new(LockKind::Order, Location::caller()).ok_or(Status::NO_MEMORY)?))
    }

    /// What is waited for, and then had, until the answer is dropped. At Passive; never waits.
    #[inline(always)]
    pub(crate) fn enter(&self) -> InOrder<'_> {
        // SAFETY: alive by the invariant; released once, by `InOrder`.
        unsafe { kernel::lock_acquire(self.0, LockKind::Order) };
        InOrder(self)
    }
}

impl Drop for LockOrder {
    fn drop(&mut self) {
        // SAFETY: alive by the invariant, and nobody holds it: a holder borrows it.
        unsafe { kernel::lock_free(self.0, LockKind::Order) }
    }
}

/// See [`LockOrder::enter`].
pub(crate) struct InOrder<'a>(&'a LockOrder);

impl Drop for InOrder<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: taken by `enter`, on this thread; what is taken meanwhile is released before.
        unsafe { kernel::lock_release(self.0.0, LockKind::Order, 0) }
    }
}
