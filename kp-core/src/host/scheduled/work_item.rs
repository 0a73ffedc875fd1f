//! One work item of a plugin's. It is queued with its port once for all that was asked since its last run began, and not while it runs: so runs
//! never overlap.
use super::runs::Runs;
use crate::{
    AtMost, Dispatch, KBox, Passive, Result, SpinLock, Status,
    host::{RawWorkItem, WorkEntry, gate::Pass, kernel},
};
use core::ptr::{self, NonNull};

/// See the module. It stays where it is, as long as what it shares with the device's others.
pub(crate) struct WorkRecord {
    /// The plugin's name for it.
    pub(super) number: u16,
    /// INVARIANT: alive as long as this.
    runs: NonNull<Runs>,
    state: SpinLock<State, Dispatch>,
}

struct State {
    /// INVARIANT: the port's, until it is taken out and freed. None: nothing runs any more.
    raw: Option<NonNull<RawWorkItem>>,
    /// A run was asked for that has not begun.
    is_due: bool,
    /// The port has it queued.
    is_queued: bool,
    /// The callback runs: at its end it is queued, if a run is due by then.
    is_running: bool,
}
// SAFETY: a port's work item may be used from any thread.
unsafe impl Send for State {}

impl State {
    /// Has the port run it, if a run is due.
    fn queue_port(&mut self) {
        if self.is_due
            && !self.is_queued
            && !self.is_running
            && let Some(raw) = self.raw
        {
            self.is_queued = true;
            // SAFETY: the port's by the invariant, and not queued, at Dispatch.
            unsafe { kernel::work_item_queue(raw) };
        }
    }
}

impl WorkRecord {
    /// Not queued. `entry` is what its port calls with its address.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn new(cx: &mut Passive, number: u16, runs: &Runs, entry: unsafe fn(*const ())) -> Result<KBox<Self>> {
        let state = State { raw: None, is_due: false, is_queued: false, is_running: false };
        let state = SpinLock::new(cx, state)?;
        let record = KBox::new(cx, Self { number, runs: NonNull::from(runs), state })?;
        let entry = WorkEntry { cookie: ptr::from_ref(&*record).cast(), run: entry };
        let raw = kernel::work_item_new(entry).ok_or(Status::NO_MEMORY)?;
        record.state.with(cx, |state, _| state.raw = Some(raw));
        Ok(record)
    }

    pub(super) fn runs(&self) -> &Runs {
        // SAFETY: alive by the invariant.
        unsafe { self.runs.as_ref() }
    }

    /// Asks for a run.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn queue(&self, cx: &mut impl AtMost<Dispatch>) {
        self.state.with(cx, |state, _| {
            state.is_due = true;
            state.queue_port();
        });
    }

    /// The port runs it. None: the plugin's callback is not to be called.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn begin(&self, cx: &mut Passive) -> Option<Pass<'_>> {
        self.state.with(cx, |state, _| {
            state.is_queued = false;
            // Held back: it stays due.
            let run = self.runs().begin()?;
            state.is_due = false;
            state.is_running = true;
            Some(run)
        })
    }

    /// The callback has returned.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end_run(&self, cx: &mut Passive) {
        self.state.with(cx, |state, _| {
            state.is_running = false;
            state.queue_port();
        });
    }

    /// A pause is over: what was due in it runs.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn resume(&self, cx: &mut Passive) {
        self.state.with(cx, |state, _| state.queue_port());
    }

    /// It runs no more, and no callback of it runs: the port's work item is given back.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end(&self, cx: &mut Passive) {
        if let Some(raw) = self.state.with(cx, |state, _| state.raw.take()) {
            // SAFETY: the port's, taken out above: nobody else has it. Its entry may run still, and is let in nowhere.
            unsafe { kernel::work_item_free(raw) };
        }
    }
}
