//! An interrupt of the plugin's own: enabled as long as the plugin drives its device, whether an app listens (`listen`) or not. The steps are
//! those of INT_ENABLE, in `enable`; here is when they are taken, and undone.
use super::{
    device::BoundDevice,
    enable::{disable_own, enable_own},
    interrupt::Interrupts,
    kernel,
    link::{OwnInterrupt, WhileOff},
};
use crate::{Passive, Plugin, Result, Status};
use core::{mem::forget, sync::atomic::Ordering::Relaxed};

/// The device has not got it yet, or has it no more: a reset leaves it alone. A value of [`Interrupts::own`], as the next two.
const NONE: u32 = 0;
/// It is not enabled: a reset is under way, or enabling it again has failed.
const OFF: u32 = 1;
const ON: u32 = 2;

/// `init` has returned, and what it has made is in its place: enables it. After an error there is none.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn begin<P: Plugin>(cx: &mut Passive, device: &BoundDevice<P>) -> Result<()> {
    let (Some(interrupts), Some(link)) = (device.interrupts(), device.link()) else { return Ok(()) };
    let (hold, while_off): (unsafe fn(*const ()), WhileOff) = (hold::<P>, while_off::<P>);
    // SAFETY: the record of this device, and its plugin's functions; `end` takes it back before the record goes, or this does.
    let own = unsafe { OwnInterrupt::new(device.as_cookie(), hold, while_off) };
    // Before the first callback, which is not to reset the device.
    link.set_own(cx, Some(own));
    let enabled = interrupts.lock.with(cx, |cx| switch_on(cx, device, interrupts));
    let enabled = enabled.unwrap_or(Err(Status::POISONED.into()));
    if enabled.is_err() {
        link.set_own(cx, None);
    }
    enabled
}

/// The device goes, and every session has ended: disables it for good. False: a thread has panicked while it was at it.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn end<P: Plugin>(cx: &mut Passive, device: &BoundDevice<P>) -> bool {
    let (Some(interrupts), Some(link)) = (device.interrupts(), device.link()) else { return true };
    let ended = interrupts.lock.with(cx, |cx| {
        interrupts.end_any_listening(cx);
        if interrupts.own.swap(NONE, Relaxed) == ON {
            // SAFETY: on, and the lock is held.
            unsafe { disable_own(cx, device, interrupts) };
        }
    });
    link.set_own(cx, None);
    ended.is_ok()
}

/// Under the interrupt's lock, off. After an error nobody listens any more.
#[cfg_attr(kp_driver, optimize(size))]
fn switch_on<P: Plugin>(cx: &mut Passive, device: &BoundDevice<P>, interrupts: &Interrupts<P>) -> Result<()> {
    // SAFETY: off; the removal takes the plugin after it has had the lock, and the interrupt is not enabled any more then.
    let enabled = unsafe { enable_own(cx, device, interrupts) };
    match &enabled {
        Ok(()) => interrupts.own.store(ON, Relaxed),
        Err(_) => interrupts.end_any_listening(cx),
    }
    enabled
}

/// Counts a reference to a device's record.
///
/// # Safety
/// It is the record of a bound device of this plugin.
unsafe fn hold<P: Plugin>(record: *const ()) {
    let hold = |device: &BoundDevice<P>| forget(device.clone());
    // SAFETY: of a bound device, by the caller's promise.
    unsafe { BoundDevice::borrow_raw(record, hold) };
}

/// Runs `f` while the interrupt is off, and enables it again if `f` says so.
///
/// # Safety
/// [`hold`] has counted a reference, which goes here.
#[cfg_attr(kp_driver, optimize(size))]
unsafe fn while_off<P: Plugin>(
    record: *const (),
    cx: &mut Passive,
    f: &mut dyn FnMut(&mut Passive) -> Result<Result<()>>,
) -> Result<()> {
    // SAFETY: the reference that was counted.
    let device = unsafe { BoundDevice::<P>::from_raw(record) };
    let Some(interrupts) = device.interrupts() else { return f(cx)? };
    // Whoever has the lock is at it already, the caller itself perhaps, in one of the interrupt's callbacks.
    let done = interrupts.lock.try_with(cx, |cx| off_and_on(cx, &device, interrupts, f));
    done.unwrap_or(Err(Status::BUSY.into()))
}

/// Under the interrupt's lock.
#[cfg_attr(kp_driver, optimize(size))]
fn off_and_on<P: Plugin>(
    cx: &mut Passive,
    device: &BoundDevice<P>,
    interrupts: &Interrupts<P>,
    f: &mut dyn FnMut(&mut Passive) -> Result<Result<()>>,
) -> Result<()> {
    if interrupts.own.load(Relaxed) == NONE {
        return f(cx)?;
    }
    if kernel::poisoned() {
        return Err(Status::POISONED.into());
    }
    if interrupts.own.swap(OFF, Relaxed) == ON {
        // SAFETY: on, and the lock is held.
        unsafe { disable_own(cx, device, interrupts) };
    }
    let done = f(cx).inspect_err(|_| interrupts.end_any_listening(cx))?;
    // The interrupt is not the caller's alone: that its app dies is no reason to leave it off.
    cx.undisturbed(|cx| switch_on(cx, device, interrupts))?;
    done
}
