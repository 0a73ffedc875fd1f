//! Locks.
use super::contract;
use core::{panic::Location, ptr::NonNull};

/// A lock that the port made. kp-core never looks into it.
#[repr(C)]
pub struct RawLock {
    _opaque: [u8; 0],
}

/// Kinds of [`RawLock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LockKind {
    /// Its owner may sleep. Locked at Passive.
    Sleeping = 0,
    /// Holds off everything up to Dispatch. Locked at Passive and Dispatch.
    AtDispatch = 1,
    /// Holds off the device's interrupts too. Locked at any level.
    AtIrql = 2,
    /// No lock, but a place in the order of locks, for what is waited for like one. Locking it does nothing, or tells the kernel's deadlock
    /// detector (lockdep). At Passive.
    Order = 3,
}

contract! { ($)
    /// Locks.
    unsafe trait Lock, exported by __export_lock;

    /// A lock of this kind, which stays where it is; None: no memory. Passive. `made` is where the source makes it: a deadlock detector takes
    /// the locks of one kind that one place makes for one class.
    safe fn lock_new(kind: LockKind, made: &'static Location<'static>) -> Option<NonNull<RawLock>>;
    /// Frees a lock that nobody holds. Any level, as `free`.
    unsafe fn lock_free(lock: NonNull<RawLock>, kind: LockKind) -> ();
    /// Locks. The answer goes to the matching `lock_release`.
    unsafe fn lock_acquire(lock: NonNull<RawLock>, kind: LockKind) -> usize;
    /// Unlocks; locks are released in the reverse order of their taking.
    unsafe fn lock_release(lock: NonNull<RawLock>, kind: LockKind, saved: usize) -> ();
}
