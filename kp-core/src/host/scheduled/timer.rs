//! One timer of a plugin's. Its port's timer runs once each time that it is started, and is not started while the plugin's callback runs: so
//! runs never overlap, and a period is counted from one run's time to the next.
use super::runs::Runs;
use crate::{
    AtMost, Dispatch, KBox, Passive, Result, SpinLock, Status,
    host::{RawTimer, TimerEntry, gate::Pass, kernel},
};
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, Ordering::*},
};

/// See the module. It stays where it is, as long as what it shares with the device's others.
pub(crate) struct TimerRecord {
    /// The plugin's name for it.
    pub(super) number: u16,
    /// INVARIANT: alive as long as this.
    runs: NonNull<Runs>,
    state: SpinLock<State, Dispatch>,
    /// The plugin has dropped it, at whatever level.
    is_dropped: AtomicBool,
}

struct State {
    /// INVARIANT: the port's, until it is taken out and freed. None: nothing runs any more.
    raw: Option<NonNull<RawTimer>>,
    /// When it runs next, by the kernel's clock. None: it is not started.
    due: Option<u64>,
    /// From one run to the next, in ns, if it goes on.
    period: Option<u64>,
    /// The callback runs: at its end the port's timer is started, if it is due once more.
    is_running: bool,
    /// It was due, and might not run.
    is_held_back: bool,
}
// SAFETY: a port's timer may be used from any thread.
unsafe impl Send for State {}

impl State {
    /// Has the port's timer run when it is due.
    fn start_port(&self) {
        if let (Some(raw), Some(due)) = (self.raw, self.due) {
            let left = due.saturating_sub(kernel::now_ns());
            // SAFETY: the port's by the invariant, at Dispatch.
            unsafe { kernel::timer_start(raw, left) };
        }
    }
}

impl TimerRecord {
    /// Not started. `entry` is what its port calls with its address.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn new(cx: &mut Passive, number: u16, runs: &Runs, entry: unsafe fn(*const ())) -> Result<KBox<Self>> {
        let state = State { raw: None, due: None, period: None, is_running: false, is_held_back: false };
        let state = SpinLock::new(cx, state)?;
        let record = Self { number, runs: NonNull::from(runs), state, is_dropped: AtomicBool::new(false) };
        let record = KBox::new(cx, record)?;
        let entry = TimerEntry { cookie: ptr::from_ref(&*record).cast(), run: entry };
        let raw = kernel::timer_new(entry).ok_or(Status::NO_MEMORY)?;
        record.state.with(cx, |state, _| state.raw = Some(raw));
        Ok(record)
    }

    pub(super) fn runs(&self) -> &Runs {
        // SAFETY: alive by the invariant.
        unsafe { self.runs.as_ref() }
    }

    /// Starts it, or starts it anew.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn start(&self, cx: &mut impl AtMost<Dispatch>, first_us: u32, period_us: Option<u32>) {
        self.state.with(cx, |state, _| {
            state.due = Some(kernel::now_ns().saturating_add(u64::from(first_us) * 1000));
            state.period = period_us.map(|us| u64::from(us.max(1)) * 1000);
            state.is_held_back = false;
            if !state.is_running {
                state.start_port();
            }
        });
    }

    /// Stops it. A run may be under way.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn stop(&self, cx: &mut impl AtMost<Dispatch>) {
        self.state.with(cx, |state, _| {
            (state.due, state.period) = (None, None);
            if let Some(raw) = state.raw {
                // SAFETY: the port's by the invariant, at Dispatch.
                unsafe { kernel::timer_stop(raw) };
            }
        });
    }

    /// Its owner forgets it: it runs no more. Any level.
    pub(crate) fn forget(&self) {
        self.is_dropped.store(true, Release);
    }

    /// The port's timer has run. None: the plugin's callback is not to be called.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn begin(&self, cx: &mut Dispatch) -> Option<Pass<'_>> {
        self.state.with(cx, |state, _| {
            // Stopped, or started anew, since the port's timer ran: its end, or its next run, is what counts.
            let due = state.due.filter(|_| !state.is_running && !self.is_dropped.load(Acquire))?;
            let now = kernel::now_ns();
            if now < due {
                state.start_port();
                return None;
            }
            let Some(run) = self.runs().begin() else {
                state.is_held_back = true;
                return None;
            };
            state.is_running = true;
            // A run that comes late by periods is one run.
            state.due = state.period.map(|period| if due + period > now { due + period } else { now + period });
            Some(run)
        })
    }

    /// The callback has returned.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end_run(&self, cx: &mut Dispatch) {
        self.state.with(cx, |state, _| {
            state.is_running = false;
            state.start_port();
        });
    }

    /// A pause is over: what was due in it runs.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn resume(&self, cx: &mut Passive) {
        self.state.with(cx, |state, _| {
            if core::mem::take(&mut state.is_held_back) {
                state.start_port();
            }
        });
    }

    /// It is stopped for good. `drained`: no callback of it runs, and the port's timer is given back. Else that stays.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end(&self, cx: &mut Passive, drained: bool) {
        self.stop(cx);
        if drained && let Some(raw) = self.state.with(cx, |state, _| state.raw.take()) {
            // SAFETY: the port's, taken out above: nobody else has it. Its entry may run still, and finds nothing due.
            unsafe { kernel::timer_free(raw) };
        }
    }
}
