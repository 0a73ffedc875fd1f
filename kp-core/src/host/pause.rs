//! A device that is not at work for a while: it sleeps, or is being reset. Calls wait, its interrupts are not looked at, and the plugin
//! hears when that begins and when it is over.
//!
//! Two pauses may overlap. The plugin hears of the first one's begin, and of the same one's end, when both are over.
use super::{
    device::{BoundDevice, DeviceRecord},
    gate::FOREVER,
    kernel, wait_kind,
};
use crate::{Happening, Passive, Plugin};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use kp_abi::request::state;

/// How long calls have to leave a device that goes to sleep, where no freezer has waited for them, in ns: as long as Linux gives them.
pub const SUSPEND_NS: u64 = 20_000_000_000;

/// How often a wait that a panic would end is begun again after one, in ns.
const POISON_CHECK_NS: u64 = 100_000_000;

/// Reason for a pause, a bit of [`Pauses::why`]: the device sleeps.
const SUSPENDED: u32 = 1 << 0;
/// Reason for a pause: the device is being reset.
const RESET: u32 = 1 << 1;

/// Why a device is not at work. Written by the port's thread for such things, one at a time.
pub(super) struct Pauses {
    why: AtomicU32,
    /// The one that the plugin has heard of.
    told: AtomicU32,
    resets: AtomicU64,
}

impl Pauses {
    pub(super) const fn new() -> Self {
        Self { why: AtomicU32::new(0), told: AtomicU32::new(0), resets: AtomicU64::new(0) }
    }
}

impl<P: Plugin> BoundDevice<P> {
    /// The device is going to sleep: calls wait from now on. Those inside have `ns` to leave; then their sleeps end, with Suspended, and they
    /// are waited for. `event` runs, in which a plugin quiets its device, and its interrupts are not looked at. Nothing of the plugin's that
    /// touches the device runs when this returns, but for handlers of interrupts that have begun before: the port waits for those. Passive.
    ///
    /// # Safety
    /// As [`remove`](Self::remove): `event` borrows the plugin.
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn suspend(&self, cx: &mut Passive, ns: u64) {
        if !self.begins(SUSPENDED) {
            return;
        }
        self.set_state(state::SUSPENDED);
        let until = if ns == FOREVER { FOREVER } else { kernel::now_ns().saturating_add(ns) };
        if !self.sessions.pause_all(cx, until) {
            self.sessions.end_sleeps(cx);
            self.sessions.pause_all(cx, FOREVER);
        }
        // SAFETY: the caller's promise.
        unsafe { self.notify_event(cx, Happening::Suspend) };
        self.ignore_irqs();
        self.sessions.wait_for_closes(cx); // one that began before may be in `int_disarm`
    }

    /// The device is awake: its interrupts are looked at, `event` runs, then calls go on. Passive.
    ///
    /// # Safety
    /// As [`suspend`](Self::suspend).
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn resume(&self, cx: &mut Passive) {
        let paused = self.pauses.why.load(Acquire);
        if paused & SUSPENDED == 0 || self.removed.load(Acquire) {
            return;
        }
        if paused == SUSPENDED {
            // SAFETY: the caller's promise.
            unsafe { self.goes_on(cx) };
        }
        self.pauses.why.fetch_and(!SUSPENDED, AcqRel);
        if paused == SUSPENDED {
            self.work(cx);
        }
    }

    /// Somebody else is about to reset the device, without asking the plugin: calls wait from now on, those inside are waited for, `event`
    /// runs, and its interrupts are not looked at. Sessions that close wait for [`reset_done`](Self::reset_done), which has to follow, or
    /// [`remove`](Self::remove). Passive.
    ///
    /// # Safety
    /// As [`suspend`](Self::suspend).
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn reset_prepare(&self, cx: &mut Passive) {
        let is_first = self.begins(RESET);
        if !self.is_resetting() {
            return;
        }
        self.set_state(state::SUSPENDED);
        self.sessions.pause_all(cx, FOREVER);
        if is_first {
            // SAFETY: the caller's promise.
            unsafe { self.notify_event(cx, Happening::ResetPrepare) };
            self.ignore_irqs();
        }
    }

    /// The reset is over, and the configuration space is as it was before: its interrupts are looked at, `event` runs, the reset is
    /// counted, then calls go on. Passive.
    ///
    /// # Safety
    /// As [`suspend`](Self::suspend).
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn reset_done(&self, cx: &mut Passive) {
        if !self.is_resetting() {
            return;
        }
        let is_last = self.pauses.why.load(Acquire) == RESET;
        if is_last {
            // SAFETY: the caller's promise.
            unsafe { self.goes_on(cx) };
        }
        self.pauses.resets.fetch_add(1, Relaxed);
        // After `event`: sessions that close wait for it.
        self.pauses.why.fetch_and(!RESET, AcqRel);
        if is_last {
            self.work(cx);
        } else {
            self.set_state(state::SUSPENDED); // for sessions that close: they wait no more
        }
    }

    /// No pause is left: calls go on.
    #[cfg_attr(kp_driver, optimize(size))]
    fn work(&self, cx: &mut Passive) {
        // Before the state says so: who finds the device at work finds the gates open.
        self.sessions.go_on_all(cx);
        self.set_state(state::BOUND);
    }

    /// A pause begins. True: the first one, which the plugin hears of.
    #[cfg_attr(kp_driver, optimize(size))]
    fn begins(&self, why: u32) -> bool {
        if self.removed.load(Acquire) || self.pauses.why.fetch_or(why, AcqRel) != 0 {
            return false;
        }
        self.pauses.told.store(why, Relaxed);
        true
    }

    /// The device is there again: its interrupts are looked at, and the plugin hears of it.
    ///
    /// # Safety
    /// As [`suspend`](Self::suspend).
    #[cfg_attr(kp_driver, optimize(size))]
    unsafe fn goes_on(&self, cx: &mut Passive) {
        let told = self.pauses.told.swap(0, Relaxed);
        self.heed_irqs();
        let happening = if told == RESET { Happening::ResetDone } else { Happening::Resume };
        // SAFETY: the caller's promise.
        unsafe { self.notify_event(cx, happening) };
    }
}

impl<P: Plugin> DeviceRecord<P> {
    /// How often the device was reset under the plugin.
    pub(super) fn resets(&self) -> u64 {
        self.pauses.resets.load(Relaxed)
    }

    /// Is somebody resetting the device right now? A removal ends that.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn is_resetting(&self) -> bool {
        self.pauses.why.load(Acquire) & RESET != 0 && self.state() != state::GONE
    }

    /// Waits until nobody resets the device. The kernel's reset has an end, so nothing else ends this: after a panic it looks ten times a
    /// second.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn wait_for_reset(&self) {
        loop {
            let epoch = self.epoch.load(Acquire);
            if !self.is_resetting() {
                return;
            }
            let ns = if kernel::poisoned() { POISON_CHECK_NS } else { u64::MAX };
            self.changed.wait(&self.epoch, epoch, ns, wait_kind::UNINTERRUPTIBLE);
        }
    }
}
