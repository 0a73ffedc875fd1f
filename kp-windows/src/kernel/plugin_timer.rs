//! A plugin's timers.
use crate::{
    kernel::{clock::relative, dpc::Timer, pool_box::PoolBox},
    nt::{self, KeFlushQueuedDpcs},
};
use core::{
    ffi::c_void,
    ptr::{self, NonNull},
};
use kp_core::host::TimerEntry;

/// One of them. Its DPC may run twice at once, if it is set anew meanwhile: kp-core sees to that.
pub(crate) struct PluginTimer {
    timer: Timer,
    entry: TimerEntry,
}

/// Not set. Null: no memory. Passive.
pub(crate) fn new(entry: TimerEntry) -> *mut PluginTimer {
    let Some(timer) = PoolBox::with(|| PluginTimer { timer: Timer::unused(), entry }) else { return ptr::null_mut() };
    let place = timer.into_raw();
    // SAFETY: new.
    let this = unsafe { place.as_ref() };
    // SAFETY: it stays in the pool where it is until `free`, which waits for its DPC.
    unsafe { this.timer.init(expired, place.as_ptr().cast()) };
    place.as_ptr()
}

/// The timer's DPC.
unsafe extern "efiapi" fn expired(_: *mut nt::Dpc, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: what `new` has said: a timer that is not freed.
    let TimerEntry { cookie, run } = unsafe { &*context.cast::<PluginTimer>() }.entry;
    // SAFETY: at DISPATCH_LEVEL, and not freed.
    unsafe { run(cookie) };
}

/// Waits for its DPC. Passive.
///
/// # Safety
/// It came from [`new`], and is not used again.
pub(crate) unsafe fn free(timer: *mut PluginTimer) {
    // SAFETY: not freed.
    unsafe { stop(timer) };
    KeFlushQueuedDpcs();
    if let Some(timer) = NonNull::new(timer) {
        // SAFETY: by `new`, not set, and its DPC has returned.
        drop(unsafe { PoolBox::from_raw(timer) });
    }
}

/// Has its DPC run in `ns`. Up to DISPATCH_LEVEL.
///
/// # Safety
/// It came from [`new`], and is not freed.
pub(crate) unsafe fn start(timer: *mut PluginTimer, ns: u64) {
    // SAFETY: not freed.
    unsafe { &*timer }.timer.set(relative(ns));
}

/// Its DPC does not run any more, unless it is about to. Up to DISPATCH_LEVEL.
///
/// # Safety
/// It came from [`new`], and is not freed.
pub(crate) unsafe fn stop(timer: *mut PluginTimer) {
    // SAFETY: not freed.
    unsafe { &*timer }.timer.cancel();
}
