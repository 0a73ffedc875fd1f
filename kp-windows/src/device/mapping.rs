//! Mapped registers. The kernel takes a mapping back up to DISPATCH_LEVEL only: one that is dropped above it waits in the list.
use crate::{
    kernel::{irql, leaks, lock, memory, names::Routine},
    nt::*,
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    mem::transmute,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, Ordering::*},
};
use kp_core::host::lock_kind;

/// One mapping, in the list of all.
struct Mapping {
    base: *mut c_void,
    len: usize,
    /// Nobody uses it any more.
    dropped: bool,
    next: *mut Mapping,
}

/// All mappings of this driver.
struct List {
    lock: UnsafeCell<SpinLock>,
    /// Under the lock.
    first: UnsafeCell<*mut Mapping>,
}
// SAFETY: used under its own lock.
unsafe impl Sync for List {}

static ALL: List = List { lock: UnsafeCell::new(0), first: UnsafeCell::new(ptr::null_mut()) };
/// One in the list is dropped.
static LATE: AtomicBool = AtomicBool::new(false);

static NEWER: Routine = Routine::new(c"MmMapIoSpaceEx");

/// Looks up what not every kernel has. Passive, before anything else here.
pub(crate) fn find_all() {
    NEWER.find();
}

/// Runs `f` with the list's first place, under its lock. Any level.
fn locked<R>(f: impl FnOnce(&mut *mut Mapping) -> R) -> R {
    let lock = ALL.lock.get().cast();
    // SAFETY: a lock of this kind, zero when it was made.
    let saved = unsafe { lock::acquire(lock, lock_kind::IRQL) };
    // SAFETY: under the lock.
    let result = f(unsafe { &mut *ALL.first.get() });
    // SAFETY: taken above.
    unsafe { lock::release(lock, lock_kind::IRQL, saved) };
    result
}

/// Maps physical memory, uncached; null: it cannot. Passive.
pub(crate) fn map(physical: u64, len: usize) -> *mut c_void {
    free_late();
    let node = memory::alloc(size_of::<Mapping>(), align_of::<Mapping>()).cast::<Mapping>();
    if node.is_null() {
        return ptr::null_mut();
    }
    let base = map_now(physical, len);
    if base.is_null() {
        // SAFETY: from `alloc`, and nobody's.
        unsafe { memory::free(node.cast(), align_of::<Mapping>()) };
        return base;
    }
    // SAFETY: fresh memory of this size.
    unsafe { node.write(Mapping { base, len, dropped: false, next: ptr::null_mut() }) };
    locked(|first| {
        // SAFETY: written above, and not in the list yet.
        unsafe { (*node).next = *first };
        *first = node;
    });
    leaks::MAPPINGS.made(true);
    base
}

/// MmMapIoSpaceEx, whose mapping cannot be executed, or where it is missing MmMapIoSpace.
fn map_now(physical: u64, len: usize) -> *mut c_void {
    let Some(newer) = NEWER.get() else {
        // SAFETY: the range is the device's: a BAR that START has assigned.
        return unsafe { MmMapIoSpace(physical, len, NON_CACHED) };
    };
    // SAFETY: the kernel's MmMapIoSpaceEx has this type.
    let newer =
        unsafe { transmute::<NonNull<c_void>, unsafe extern "efiapi" fn(u64, usize, u32) -> *mut c_void>(newer) };
    // SAFETY: as above.
    unsafe { newer(physical, len, PAGE_READWRITE_NOCACHE) }
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
    while let Some(Mapping { base, len, .. }) = take_dropped() {
        // SAFETY: from `map`, and nobody's any more.
        unsafe { MmUnmapIoSpace(base, len) };
        leaks::MAPPINGS.gone();
    }
}

/// Takes one that is dropped out of the list.
fn take_dropped() -> Option<Mapping> {
    let node = locked(|first| {
        let mut place: *mut *mut Mapping = first;
        loop {
            // SAFETY: the first place, or a link of what is in the list.
            let at = unsafe { *place };
            // SAFETY: what is in the list is alive.
            let mapping = unsafe { at.as_mut() }?;
            if mapping.dropped {
                // SAFETY: as above.
                unsafe { *place = mapping.next };
                return Some(at);
            }
            place = &mut mapping.next;
        }
    })?;
    // SAFETY: out of the list: this function's alone.
    let mapping = unsafe { node.read() };
    // SAFETY: from `alloc`, and nobody's any more.
    unsafe { memory::free(node.cast(), align_of::<Mapping>()) };
    Some(mapping)
}
