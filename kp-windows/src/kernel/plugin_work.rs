//! A plugin's work items, which the system's worker threads run. They are the driver's, not a device's: a plugin that drives none makes them
//! before it has one.
use crate::{
    kernel::{event::Event, pool_box::PoolBox, spin_lock::SpinLock},
    nt::{DELAYED_WORK_QUEUE, DriverObject, IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItemEx, wait_reason},
};
use core::{
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};
use kp_core::host::WorkEntry;

/// One of them.
pub(crate) struct PluginWork {
    item: *mut c_void,
    entry: WorkEntry,
    state: SpinLock<State>,
    /// Set when nothing is under way any more, and somebody waits for that.
    done: Event,
}

struct State {
    /// How many times it is queued or runs: twice if its run has queued it anew.
    under_way: u32,
    is_awaited: bool,
}

static DRIVER: AtomicPtr<DriverObject> = AtomicPtr::new(ptr::null_mut());

/// Whose they are: the kernel's object for this driver. In DriverEntry.
pub(crate) fn set_driver(driver: *mut DriverObject) {
    DRIVER.store(driver, Relaxed);
}

/// Not queued. Null: no memory. Passive.
pub(crate) fn new(entry: WorkEntry) -> *mut PluginWork {
    // SAFETY: this driver's object, as `set_driver` was told: what is queued with `IoQueueWorkItemEx` may be a driver's.
    let item = unsafe { IoAllocateWorkItem(DRIVER.load(Relaxed).cast()) };
    if item.is_null() {
        return ptr::null_mut();
    }
    let state = State { under_way: 0, is_awaited: false };
    let made = PoolBox::with(|| PluginWork { item, entry, state: SpinLock::new(state), done: Event::unused() });
    let Some(work) = made else {
        // SAFETY: allocated above, and not queued.
        unsafe { IoFreeWorkItem(item) };
        return ptr::null_mut();
    };
    // SAFETY: new, and it stays in the pool where it is.
    unsafe { work.done.init() };
    work.into_raw().as_ptr()
}

/// Has its entry run, on a thread of the system's. Up to DISPATCH_LEVEL.
///
/// # Safety
/// It came from [`new`], is not freed, and not queued.
pub(crate) unsafe fn queue(work: *mut PluginWork) {
    // SAFETY: not freed.
    let this = unsafe { &*work };
    this.state.with(|state| state.under_way += 1);
    // SAFETY: not queued. It is not freed before its routine has run.
    unsafe { IoQueueWorkItemEx(this.item, run, DELAYED_WORK_QUEUE, work.cast()) };
}

/// The work item's routine. The driver stays loaded until it has returned.
unsafe extern "efiapi" fn run(_: *mut c_void, context: *mut c_void, _: *mut c_void) {
    // SAFETY: queued by `queue`, with a record that is not freed before the end of the next lines.
    let this = unsafe { &*context.cast::<PluginWork>() };
    // SAFETY: at Passive, and not freed.
    unsafe { (this.entry.run)(this.entry.cookie) };
    // Under the lock: whoever frees takes it after this, and nothing is looked at after its release.
    this.state.with(|state| {
        state.under_way -= 1;
        if state.under_way == 0 && state.is_awaited {
            this.done.set();
        }
    });
}

/// Waits for what is queued and runs. Passive.
///
/// # Safety
/// It came from [`new`], and is not used again.
pub(crate) unsafe fn free(work: *mut PluginWork) {
    let Some(work) = NonNull::new(work) else { return };
    // SAFETY: by `new`, and nobody else's any more but its own routine's, which is waited for.
    let work = unsafe { PoolBox::from_raw(work) };
    let is_over = |state: &mut State| {
        state.is_awaited = true;
        state.under_way == 0
    };
    while !work.state.with(is_over) {
        work.done.wait(wait_reason::EXECUTIVE, None);
    }
    // SAFETY: allocated by `new`, and not queued.
    unsafe { IoFreeWorkItem(work.item) };
}
