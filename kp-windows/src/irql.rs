//! The processor's interrupt request level, and how high a lock must raise it. These functions are looked up, not imported: not every kernel that the port is tried
//! on exports them. Where they are missing no interrupt is ever connected, and nothing runs above DISPATCH_LEVEL.
//!
//! They are called through pointers, by functions that are never inlined: so the build's check of what a handler can get to sees
//! that the pointer is the port's.
use crate::names::find;
use crate::nt::DISPATCH_LEVEL;
use core::{
    ffi::{CStr, c_void},
    mem::transmute,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU8, Ordering::*},
};

/// The highest level of all interrupts that the driver's devices were assigned so far; handlers run there or below.
static DEVICES: AtomicU8 = AtomicU8::new(DISPATCH_LEVEL);

static CURRENT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static RAISE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static LOWER: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Looks the functions up: all, or none. Passive, before anything else here.
pub(crate) fn find_all() {
    const NAMES: [&CStr; 3] = [c"KeGetCurrentIrql", c"KfRaiseIrql", c"KeLowerIrql"];
    let [current, raise, lower] = NAMES.map(find);
    if !current.is_null() && !raise.is_null() && !lower.is_null() {
        CURRENT.store(current, Relaxed);
        LOWER.store(lower, Relaxed);
        RAISE.store(raise, Relaxed);
    }
}

/// The level, if it can be known.
#[inline(never)]
pub(crate) fn current() -> Option<u8> {
    let f = CURRENT.load(Relaxed);
    if f.is_null() {
        return None;
    }
    // SAFETY: the kernel's KeGetCurrentIrql has this type.
    let f = unsafe { transmute::<*mut c_void, extern "efiapi" fn() -> u8>(f) };
    Some(f())
}

/// A device was assigned an interrupt of this level. Before it is connected.
pub(crate) fn allow_for(level: u8) {
    DEVICES.fetch_max(level, Release);
}

/// Raises the level so that no interrupt of the driver's devices runs on this processor; the answer is the level before. None: it
/// cannot be raised.
#[inline(never)]
pub(crate) fn raise() -> Option<u8> {
    let f = RAISE.load(Relaxed);
    if f.is_null() {
        return None;
    }
    // SAFETY: the kernel's KfRaiseIrql has this type.
    let f = unsafe { transmute::<*mut c_void, extern "efiapi" fn(u8) -> u8>(f) };
    // A handler of another driver's never gets here, and one of ours runs at this level or below: it is never lowered.
    Some(f(DEVICES.load(Acquire)))
}

/// May memory and mappings be given back at this level?
pub(crate) fn may_free() -> bool {
    current().is_some_and(|level| level <= DISPATCH_LEVEL)
}

/// Can the level be read and raised?
#[inline]
pub(crate) fn is_known() -> bool {
    !RAISE.load(Relaxed).is_null()
}

/// Goes back to the level before [`raise`], which has answered it.
#[inline(never)]
pub(crate) fn lower(to: u8) {
    let f = LOWER.load(Relaxed);
    // SAFETY: `raise` has answered, so it was found; the kernel's KeLowerIrql has this type.
    let f = unsafe { transmute::<*mut c_void, extern "efiapi" fn(u8)>(f) };
    f(to);
}
