//! What state a device is in, and waiting for it to change. The port's thread for such things writes it, one change at a time; requests and
//! interrupts read it.
#![deny(unsafe_code)]
use super::{Deadline, KernelWaitQueue, Timeout, WaitKind, Woken, kernel};
use crate::{Error, Passive, Result, Status};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use kp_abi::request::state;

/// A reason for which a device is not at work for a while, a bit: it sleeps.
pub(super) const SUSPENDED: u32 = 1 << 0;
/// A reason for which a device is not at work for a while: it is being reset.
pub(super) const RESET: u32 = 1 << 1;

/// See the module.
pub(super) struct DeviceState {
    /// One of [`state`], but for POISONED, which the kernel knows.
    state: AtomicU32,
    /// Changes with `state`; calls of a suspended device wait for it.
    epoch: AtomicU32,
    changed: KernelWaitQueue,
    /// The hardware is not there any more: no callback may touch it.
    absent: AtomicBool,
    /// `remove` was called: no callback of the port's comes after it.
    removed: AtomicBool,
    /// `remove` has left the plugin where it is, for good.
    leaked: AtomicBool,
    /// The device sleeps, or is being reset: its ISR does not run plugin code.
    irqs_ignored: AtomicBool,
    /// Why it is not at work: bits.
    paused: AtomicU32,
    /// The reason whose begin was announced to the plugin.
    announced: AtomicU32,
    resets: AtomicU64,
}

impl DeviceState {
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self {
            state: AtomicU32::new(state::BOUND),
            epoch: AtomicU32::new(0),
            changed: KernelWaitQueue::new(cx)?,
            absent: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            leaked: AtomicBool::new(false),
            irqs_ignored: AtomicBool::new(false),
            paused: AtomicU32::new(0),
            announced: AtomicU32::new(0),
            resets: AtomicU64::new(0),
        })
    }

    /// One of [`state`].
    #[inline]
    pub(super) fn get(&self) -> u32 {
        self.state.load(Acquire)
    }

    /// Is the device removed?
    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        self.get() == state::GONE
    }

    /// To one of [`state`].
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn set(&self, state: u32) {
        self.state.store(state, Release);
        self.epoch.fetch_add(1, Release);
        self.changed.wake();
    }

    pub(super) fn is_absent(&self) -> bool {
        self.absent.load(Relaxed)
    }

    /// The removal begins. `Err`: it began before, and this is what it answered. `present`: the hardware is still there.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn begin_removal(&self, present: bool) -> Result<(), bool> {
        if self.removed.swap(true, AcqRel) {
            return Err(!self.leaked.load(Acquire));
        }
        self.absent.store(!present, Relaxed);
        Ok(())
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Acquire)
    }

    /// The removal leaves the plugin where it is.
    pub(super) fn leak(&self) {
        self.leaked.store(true, Release);
    }

    /// Does the ISR run no plugin code?
    #[inline]
    pub(super) fn ignores_irqs(&self) -> bool {
        self.irqs_ignored.load(Acquire)
    }

    /// From now on the ISR runs no plugin code, or again does.
    pub(super) fn ignore_irqs(&self, ignore: bool) {
        self.irqs_ignored.store(ignore, Release);
    }

    /// A pause begins, for this reason. True: it is the first one, which is announced to the plugin.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn begin_pause(&self, reason: u32) -> bool {
        if self.is_removed() || self.paused.fetch_or(reason, AcqRel) != 0 {
            return false;
        }
        self.announced.store(reason, Relaxed);
        true
    }

    /// Why the device is not at work: bits.
    pub(super) fn paused(&self) -> u32 {
        self.paused.load(Acquire)
    }

    /// This reason is over.
    pub(super) fn end_pause(&self, reason: u32) {
        self.paused.fetch_and(!reason, AcqRel);
    }

    /// The reason whose begin was announced to the plugin, and whose end is to be announced now.
    pub(super) fn take_announced(&self) -> u32 {
        self.announced.swap(0, Relaxed)
    }

    /// How often the device was reset under the plugin.
    pub(super) fn resets(&self) -> u64 {
        self.resets.load(Relaxed)
    }

    /// One more reset.
    pub(super) fn count_reset(&self) {
        self.resets.fetch_add(1, Relaxed);
    }

    /// Is the device being reset right now? A removal ends that.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn is_resetting(&self) -> bool {
        self.paused() & RESET != 0 && !self.is_gone()
    }

    /// Waits until the device is not being reset. The kernel's reset has an end, so nothing else ends this.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn wait_for_reset(&self) {
        loop {
            let epoch = self.epoch.load(Acquire);
            if !self.is_resetting() {
                return;
            }
            let timeout = Deadline::NEVER.next_look(kernel::poisoned());
            self.changed.wait(&self.epoch, epoch, timeout, WaitKind::Uninterruptible);
        }
    }

    /// Is the device at work?
    #[inline]
    pub(super) fn is_awake(&self) -> bool {
        // Both looks in one branch: hardly ever does either find something.
        (self.get() == state::BOUND) & !kernel::poisoned()
    }

    /// Returns when the device is at work: waits while it sleeps, unless `nowait`.
    #[inline]
    pub(super) fn awake(&self, nowait: bool) -> Result<()> {
        if self.is_awake() { Ok(()) } else { self.wait_awake(nowait) }
    }

    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn wait_awake(&self, nowait: bool) -> Result<()> {
        loop {
            let epoch = self.epoch.load(Acquire);
            if kernel::poisoned() {
                return Err(Status::POISONED.into());
            }
            match self.get() {
                state::BOUND => return Ok(()),
                state::SUSPENDED if nowait => return Err(Status::SUSPENDED.into()),
                state::SUSPENDED => {}
                _ => return Err(Status::DEVICE_GONE.into()),
            }
            if self.changed.wait(&self.epoch, epoch, Timeout::NEVER, WaitKind::Killable) == Woken::Interrupted {
                return Err(Error::from(Status::INTERRUPTED));
            }
        }
    }
}
