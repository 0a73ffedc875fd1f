//! A device that is not at work for a while: it sleeps, or is being reset. Calls wait, timers and work items are held back, its interrupts are
//! ignored, and the plugin's `event` is called when that begins and when it is over.
//!
//! Two pauses may overlap. `event` is called for the begin of the first one, and for the end of the same one when both are over.
use super::{
    Deadline, Timeout,
    device::BoundDevice,
    device_state::{RESET, SUSPENDED},
    session::Session,
};
use crate::{Happening, Passive, Plugin};
use kp_abi::request::state;

/// How long calls have to leave a device that goes to sleep, where no freezer has waited for them, in ns: as long as Linux gives them.
pub const SUSPEND_NS: u64 = 20_000_000_000;

impl<P: Plugin> BoundDevice<P> {
    /// The device is going to sleep: calls wait from now on. Those inside have `ns` to leave; then their sleeps end, with Suspended, and they
    /// are waited for. `event` runs, in which a plugin quiets its device, and its interrupts are ignored. Nothing of the plugin's that
    /// touches the device runs when this returns, but for handlers of interrupts that have begun before: the port waits for those. Passive.
    ///
    /// # Safety
    /// As [`remove`](Self::remove): `event` borrows the plugin.
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn suspend(&self, cx: &mut Passive, ns: u64) {
        if !self.state.begin_pause(SUSPENDED) {
            return;
        }
        self.state.set(state::SUSPENDED);
        let until = Deadline::after(Timeout::from_ns(ns));
        if !(self.pause_sessions(cx, until) && self.pause_scheduled(until)) {
            self.each_session(cx, |session, cx| {
                session.context.waker.cancel_for_suspend(cx);
                true
            });
            if let Some(scheduled) = self.scheduled() {
                scheduled.cancel_for_suspend(cx);
            }
            self.pause_sessions(cx, Deadline::NEVER);
            self.pause_scheduled(Deadline::NEVER);
        }
        // SAFETY: `remove` does not run meanwhile, by the caller's promise.
        unsafe { self.notify_event(cx, Happening::Suspend) };
        self.state.ignore_irqs(true);
        self.each_session(cx, |session, cx| session.lock.with(cx, |_| ()).is_ok()); // a close that began before may be in `int_disarm`
    }

    /// The device is awake: its interrupts are served, `event` runs, then calls go on. Passive.
    ///
    /// # Safety
    /// As [`suspend`](Self::suspend).
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn resume(&self, cx: &mut Passive) {
        let paused = self.state.paused();
        if paused & SUSPENDED == 0 || self.state.is_removed() {
            return;
        }
        if paused == SUSPENDED {
            // SAFETY: `remove` does not run meanwhile, by the caller's promise.
            unsafe { self.resume_irqs(cx) };
        }
        self.state.end_pause(SUSPENDED);
        if paused == SUSPENDED {
            self.resume_calls(cx);
        }
    }

    /// Somebody else is about to reset the device, without asking the plugin: calls wait from now on, those inside are waited for, `event`
    /// runs, and its interrupts are ignored. Sessions that close wait for [`reset_done`](Self::reset_done), which has to follow, or
    /// [`remove`](Self::remove). Passive.
    ///
    /// # Safety
    /// As [`suspend`](Self::suspend).
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn reset_prepare(&self, cx: &mut Passive) {
        let is_first = self.state.begin_pause(RESET);
        if !self.state.is_resetting() {
            return;
        }
        self.state.set(state::SUSPENDED);
        self.pause_sessions(cx, Deadline::NEVER);
        self.pause_scheduled(Deadline::NEVER);
        if is_first {
            // SAFETY: `remove` does not run meanwhile, by the caller's promise.
            unsafe { self.notify_event(cx, Happening::ResetPrepare) };
            self.state.ignore_irqs(true);
        }
    }

    /// The reset is over, and the configuration space is as it was before: its interrupts are served, `event` runs, the reset is
    /// counted, then calls go on. Passive.
    ///
    /// # Safety
    /// As [`suspend`](Self::suspend).
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn reset_done(&self, cx: &mut Passive) {
        if !self.state.is_resetting() {
            return;
        }
        let is_last = self.state.paused() == RESET;
        if is_last {
            // SAFETY: `remove` does not run meanwhile, by the caller's promise.
            unsafe { self.resume_irqs(cx) };
        }
        self.state.count_reset();
        // After `event`: sessions that close wait for it.
        self.state.end_pause(RESET);
        if is_last {
            self.resume_calls(cx);
        } else {
            self.state.set(state::SUSPENDED); // for sessions that close: they wait no more
        }
    }

    /// No pause is left: calls go on.
    #[cfg_attr(kp_driver, optimize(size))]
    fn resume_calls(&self, cx: &mut Passive) {
        // Before the state says so: who finds the device at work finds the gates open.
        self.each_session(cx, resume_session);
        if let Some(scheduled) = self.scheduled() {
            scheduled.resume(cx);
        }
        self.state.set(state::BOUND);
    }

    /// Keeps calls out of each session, and waits for calls inside, opens and closes, until the time is up. False: somebody is
    /// inside still; if there was no limit, it is a call that has panicked.
    #[cfg_attr(kp_driver, optimize(size))]
    fn pause_sessions(&self, cx: &mut Passive, until: Deadline) -> bool {
        self.each_session(cx, |session, cx| {
            let paused = session.lock.with_until(cx, until, |_| session.gate.pause());
            paused.is_some() && session.gate.drain(&session.context.waker.queue, until)
        })
    }

    /// Keeps timers and work items from running, as `pause_sessions` calls; after that, since calls may wait for them.
    fn pause_scheduled(&self, until: Deadline) -> bool {
        self.scheduled().is_none_or(|scheduled| scheduled.pause(until))
    }

    /// The device is there again: its interrupts are served, and `event` is called.
    ///
    /// # Safety
    /// As [`suspend`](Self::suspend).
    #[cfg_attr(kp_driver, optimize(size))]
    unsafe fn resume_irqs(&self, cx: &mut Passive) {
        let announced = self.state.take_announced();
        self.state.ignore_irqs(false);
        let happening = if announced == RESET { Happening::ResetDone } else { Happening::Resume };
        // SAFETY: `remove` does not run meanwhile, by the caller's promise.
        unsafe { self.notify_event(cx, happening) };
    }
}

/// The device is at work again: calls go on.
#[cfg_attr(kp_driver, optimize(size))]
fn resume_session<P: Plugin>(session: &Session<P>, cx: &mut Passive) -> bool {
    session.context.waker.resume();
    let _ = session.lock.with(cx, |_| session.gate.resume());
    true
}
