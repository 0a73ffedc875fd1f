//! Mapped registers. The kernel takes a mapping back up to DISPATCH_LEVEL only: one that is dropped above it waits in the list.
use crate::{
    kernel::{irql, leaks, lock, optional::MAP_IO_SPACE, pool_box::PoolBox},
    nt::*,
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, Ordering::*},
};
use kp_core::host::{Caching, LockKind};

/// One mapping, in the list of all.
struct IoMapping {
    base: *mut c_void,
    len: usize,
    /// Nobody uses it any more.
    dropped: bool,
    next: *mut IoMapping,
}

/// All mappings of this driver.
struct List {
    lock: UnsafeCell<SpinLock>,
    /// Under the lock.
    first: UnsafeCell<*mut IoMapping>,
}
// SAFETY: used under its own lock.
unsafe impl Sync for List {}

static ALL: List = List { lock: UnsafeCell::new(0), first: UnsafeCell::new(ptr::null_mut()) };
/// One in the list is dropped.
static LATE: AtomicBool = AtomicBool::new(false);

/// Runs `f` with the list's first place, under its lock. Any level.
fn locked<R>(f: impl FnOnce(&mut *mut IoMapping) -> R) -> R {
    let lock = ALL.lock.get().cast();
    // SAFETY: a lock of this kind, zero when it was made.
    let saved = unsafe { lock::acquire(lock, LockKind::AtIrql) };
    // SAFETY: under the lock.
    let result = f(unsafe { &mut *ALL.first.get() });
    // SAFETY: taken above.
    unsafe { lock::release(lock, LockKind::AtIrql, saved) };
    result
}

/// Maps physical memory; null: it cannot. Passive.
pub(crate) fn map(physical: u64, len: usize, caching: Caching) -> *mut c_void {
    free_late();
    // The kernel maps when there is memory for the record.
    let mapping = || IoMapping { base: map_now(physical, len, caching), len, dropped: false, next: ptr::null_mut() };
    let Some(mut mapping) = PoolBox::with(mapping) else { return ptr::null_mut() };
    let base = mapping.base;
    if base.is_null() {
        return base;
    }
    locked(|first| {
        mapping.next = *first;
        *first = mapping.into_raw().as_ptr();
    });
    leaks::MAPPINGS.made(true);
    base
}

/// MmMapIoSpaceEx, whose mapping cannot be executed, or where it is missing MmMapIoSpace.
fn map_now(physical: u64, len: usize, caching: Caching) -> *mut c_void {
    let (protection, kind) = match caching {
        Caching::Uncached => (PAGE_READWRITE_NOCACHE, NON_CACHED),
        Caching::WriteCombining => (PAGE_READWRITE_WRITECOMBINE, WRITE_COMBINED),
    };
    match MAP_IO_SPACE.get() {
        // SAFETY: the range is the device's: a BAR that START has assigned.
        Some(map) => unsafe { map(physical, len, protection) },
        // SAFETY: the same range.
        None => unsafe { MmMapIoSpace(physical, len, kind) },
    }
}

/// Drops a mapping, at any level.
///
/// # Safety
/// It came from [`map`], and is not used again.
pub(crate) unsafe fn unmap(base: usize) {
    locked(|first| {
        let mut at = *first;
        // SAFETY: what is in the list is alive.
        while let Some(mapping) = unsafe { at.as_mut() } {
            if mapping.base.addr() == base {
                mapping.dropped = true;
            }
            at = mapping.next;
        }
    });
    LATE.store(true, Release);
    if irql::may_free() {
        free_late();
    }
}

/// Takes back what was dropped. Up to DISPATCH_LEVEL.
pub(crate) fn free_late() {
    if !LATE.swap(false, Acquire) {
        return;
    }
    while let Some(mapping) = take_dropped() {
        let (base, len) = (mapping.base, mapping.len);
        drop(mapping);
        // SAFETY: from `map`, and nobody's any more.
        unsafe { MmUnmapIoSpace(base, len) };
        leaks::MAPPINGS.gone();
    }
}

/// Takes one that is dropped out of the list.
fn take_dropped() -> Option<PoolBox<IoMapping>> {
    let node = locked(|first| {
        let mut place: *mut *mut IoMapping = first;
        loop {
            // SAFETY: the first place, or a link of what is in the list.
            let at = unsafe { *place };
            // SAFETY: what is in the list is alive.
            let mapping = unsafe { at.as_mut() }?;
            if mapping.dropped {
                // SAFETY: the place of above, still this list's.
                unsafe { *place = mapping.next };
                return NonNull::new(at);
            }
            place = &mut mapping.next;
        }
    })?;
    // SAFETY: `map` has put it there; out of the list it is this function's alone.
    Some(unsafe { PoolBox::from_raw(node) })
}
