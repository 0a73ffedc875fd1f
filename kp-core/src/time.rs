//! What a plugin has run later, by itself: timers and work items.
use crate::{
    AtMost, Device, Dispatch, Passive, Result,
    host::{Scheduled, TimerRecord, WorkRecord},
};
use core::ptr::NonNull;

/// A timer: [`TimerAtDpc::timer_at_dpc`](crate::TimerAtDpc) runs when its time has come. Made by [`Device::timer`].
///
/// Its runs never overlap. None comes before the plugin's value is in place, while the device sleeps or is being reset, or once the plugin
/// has panicked; what is due meanwhile runs afterwards. When the device goes it is stopped: a timer that is kept longer does nothing.
/// Dropped, it runs no more. It may be dropped anywhere.
pub struct Timer {
    /// INVARIANT: one of `_scheduled`.
    record: NonNull<TimerRecord>,
    _scheduled: Scheduled,
}
// SAFETY: a counted reference to something Send and Sync.
unsafe impl Send for Timer {}
// SAFETY: what is shared is under locks, or atomic.
unsafe impl Sync for Timer {}

impl Timer {
    fn record(&self) -> &TimerRecord {
        // SAFETY: the invariant: it lives as long as what this counts.
        unsafe { self.record.as_ref() }
    }

    /// It runs in `first_us` microseconds, and then every `period_us`, or once. What was started before is forgotten. At Dispatch and below.
    ///
    /// Never too early. How late is the kernel's affair: microseconds on Linux, up to a tick of 16 ms on Windows. If a run comes late by
    /// whole periods, those are left out.
    pub fn start<L: AtMost<Dispatch>>(&self, cx: &mut L, first_us: u32, period_us: Option<u32>) {
        self.record().start(cx, first_us, period_us);
    }

    /// No run begins any more, until it is started again. One that has begun may still run: nothing here waits for it. At Dispatch and below.
    pub fn stop<L: AtMost<Dispatch>>(&self, cx: &mut L) {
        self.record().stop(cx);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.record().forget();
    }
}

/// Work that a thread of the kernel's does: [`Work::work`](crate::Work) runs at Passive, for what a DPC, a timer or a call has found to do and
/// cannot do itself. Made by [`Device::work_item`].
///
/// Its runs never overlap. None comes before the plugin's value is in place, while the device sleeps or is being reset, or once the plugin
/// has panicked; what is queued meanwhile runs afterwards. When the device goes, what runs is waited for, and what is queued does not
/// run: an item that is kept longer does nothing. It may be dropped anywhere; what is queued runs all the same.
pub struct WorkItem {
    /// INVARIANT: one of `_scheduled`.
    record: NonNull<WorkRecord>,
    _scheduled: Scheduled,
}
// SAFETY: a counted reference to something Send and Sync.
unsafe impl Send for WorkItem {}
// SAFETY: what is shared is under locks, or atomic.
unsafe impl Sync for WorkItem {}

impl WorkItem {
    /// Has it run soon. Queued twice before it runs, it runs once; queued while it runs, once more after that. At Dispatch and below.
    pub fn queue<L: AtMost<Dispatch>>(&self, cx: &mut L) {
        // SAFETY: the invariant: it lives as long as what this counts.
        unsafe { self.record.as_ref() }.queue(cx);
    }
}

impl Device {
    /// A timer, which is not started. `number` is what `timer_at_dpc` is given, to tell the plugin's timers apart.
    ///
    /// Errors: `BUSY` if there is one with this number, or 64 timers and work items; `BAD_VALUE`, with a line in the log, if the plugin's
    /// callbacks have no `TimerAtDpc`; `NO_MEMORY`.
    pub fn timer(&mut self, cx: &mut Passive, number: u16) -> Result<Timer> {
        let scheduled = self.scheduled("TimerAtDpc")?;
        Ok(Timer { record: scheduled.timer(cx, number)?, _scheduled: scheduled })
    }

    /// A work item, which is not queued. `number` is what `work` is given, to tell the plugin's work items apart.
    ///
    /// Errors: as [`timer`](Self::timer), for `Work`.
    pub fn work_item(&mut self, cx: &mut Passive, number: u16) -> Result<WorkItem> {
        let scheduled = self.scheduled("Work")?;
        Ok(WorkItem { record: scheduled.work_item(cx, number)?, _scheduled: scheduled })
    }
}
