//! Timers.
use super::contract;
use core::ptr::NonNull;

/// A timer that the port made. kp-core never looks into it.
#[repr(C)]
pub struct RawTimer {
    _opaque: [u8; 0],
}

/// What the port calls when a timer's time has come.
#[derive(Clone, Copy)]
pub struct TimerEntry {
    /// Its argument.
    pub cookie: *const (),
    /// Runs the plugin's `timer_at_dpc`, at Dispatch.
    pub run: unsafe fn(cookie: *const ()),
}
// SAFETY: the cookie is an address that only the function looks into; it may run on any thread.
unsafe impl Send for TimerEntry {}

contract! { ($)
    /// Timers, each of which runs once when it is started. A plugin's periods are kp-core's.
    unsafe trait Timers, exported by __export_timers;

    /// A timer, which is not started; None: no memory. Passive.
    safe fn timer_new(entry: TimerEntry) -> Option<NonNull<RawTimer>>;
    /// Stops it, waits until its entry has returned, and frees it. Passive.
    unsafe fn timer_free(timer: NonNull<RawTimer>) -> ();
    /// Has its entry run once, in `ns` nanoseconds or somewhat later. One that is started already is started anew. Passive and Dispatch; from
    /// its entry too, and with spin locks held.
    unsafe fn timer_start(timer: NonNull<RawTimer>, ns: u64) -> ();
    /// It is not started any more; its entry may be running, or about to. Passive and Dispatch, as `timer_start`.
    unsafe fn timer_stop(timer: NonNull<RawTimer>) -> ();
}
