//! Work items: what a thread of the kernel's own runs.
use super::contract;
use core::ptr::NonNull;

/// A work item that the port made. kp-core never looks into it.
#[repr(C)]
pub struct RawWorkItem {
    _opaque: [u8; 0],
}

/// What a thread of the kernel's runs for a work item.
#[derive(Clone, Copy)]
pub struct WorkEntry {
    /// Its argument.
    pub cookie: *const (),
    /// Runs the plugin's `work`, at Passive.
    pub run: unsafe fn(cookie: *const ()),
}
// SAFETY: the cookie is an address that only the function looks into; it may run on any thread.
unsafe impl Send for WorkEntry {}

contract! { ($)
    /// Work items: what a thread of the kernel's own runs.
    unsafe trait WorkItems, exported by __export_work_items;

    /// A work item, which is not queued; None: no memory. Passive.
    safe fn work_item_new(entry: WorkEntry) -> Option<NonNull<RawWorkItem>>;
    /// Waits until its entry has returned, and frees it. If it is queued, its entry runs before, or never. Passive.
    unsafe fn work_item_free(item: NonNull<RawWorkItem>) -> ();
    /// Has its entry run once, soon. It is not queued: its entry has begun since the last time, and may be what queues it. Passive and
    /// Dispatch, with spin locks held too.
    unsafe fn work_item_queue(item: NonNull<RawWorkItem>) -> ();
}
