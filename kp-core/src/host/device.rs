//! The record of a bound device: the plugin's value, the device's state, its interrupt, its handles. `lifecycle` makes it, and ends what is
//! in it; the record itself stays until the last handle has gone.
use super::{
    DeviceId, RawBar, device_state::DeviceState, interrupt::Interrupts, kernel, link::Link, list::List,
    scheduled::Scheduled,
};
use crate::{Happening, KBox, Passive, Plugin, Result};
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*},
};
use kp_abi::request::NO_BUS_ADDRESS;

/// What a port knows of a device.
pub struct RawDevice {
    pub(super) id: Option<DeviceId>,
    pub(super) bars: [Option<RawBar>; 6],
    pub(super) bus_address: u64,
}

impl RawDevice {
    /// Device `id` of the port, with its BARs, and its PCI address as in QUERY.
    ///
    /// # Safety
    /// `id` names a device of this kernel until its driver's `remove` has returned; the BARs are as it has them; nobody else drives it.
    pub unsafe fn new(id: DeviceId, bars: [Option<RawBar>; 6], bus_address: u64) -> Self {
        Self { id: Some(id), bars, bus_address }
    }

    /// For a plugin that drives no device.
    pub fn none() -> Self {
        Self { id: None, bars: [None; 6], bus_address: NO_BUS_ADDRESS }
    }
}

/// The next session's number: no two sessions of a plugin have one, of whichever device.
static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

pub(super) fn new_session_number() -> u64 {
    NEXT_SESSION.fetch_add(1, Relaxed)
}

/// The record of one bound device. Shared by the port's [`BoundDevice`] and every session.
pub struct DeviceRecord<P: Plugin> {
    references: AtomicUsize,
    pub(super) bus_address: u64,
    pub(super) state: DeviceState,
    /// INVARIANT: Some until the last step of `remove`; used by sessions inside their gate, and by the interrupt while connected.
    plugin: UnsafeCell<Option<P>>,
    /// The device's handles: each is a `Session` of the same plugin.
    pub(super) handles: List,
    /// How many.
    pub(super) handle_count: AtomicU32,
    pub(super) open_sessions: AtomicU32,
    /// None: the plugin has no interrupt callbacks, or no device.
    interrupts: ManuallyDrop<Option<Interrupts<P>>>,
    /// None: there is no hardware.
    pub(super) link: Option<Link>,
    /// None: the plugin has no callbacks for timers and work items.
    scheduled: ManuallyDrop<Option<Scheduled>>,
}
// SAFETY: the plugin is Sync, and is taken out only by `remove`, after every gate is drained and the interrupt disconnected.
unsafe impl<P: Plugin> Sync for DeviceRecord<P> {}
// SAFETY: all parts are Send.
unsafe impl<P: Plugin> Send for DeviceRecord<P> {}

/// A counted reference to a bound device: one is the port's, one each session's.
pub struct BoundDevice<P: Plugin>(NonNull<DeviceRecord<P>>);
// SAFETY: a counted reference to something Send and Sync.
unsafe impl<P: Plugin> Send for BoundDevice<P> {}
// SAFETY: a shared reference gives a shared record, which is Sync, or counts references atomically.
unsafe impl<P: Plugin> Sync for BoundDevice<P> {}

impl<P: Plugin> Clone for BoundDevice<P> {
    fn clone(&self) -> Self {
        self.references.fetch_add(1, Relaxed);
        Self(self.0)
    }
}
impl<P: Plugin> Deref for BoundDevice<P> {
    type Target = DeviceRecord<P>;
    fn deref(&self) -> &DeviceRecord<P> {
        // SAFETY: counted: the record lives as long as this reference.
        unsafe { self.0.as_ref() }
    }
}
impl<P: Plugin> Drop for BoundDevice<P> {
    fn drop(&mut self) {
        if self.references.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: the last reference; the record came from a KBox.
            drop(unsafe { KBox::from_raw(self.0) });
        }
    }
}

impl<P: Plugin> BoundDevice<P> {
    /// A reference to a new record, which has no other.
    pub(super) fn new(cx: &mut Passive, record: DeviceRecord<P>) -> Result<Self> {
        Ok(Self(KBox::new(cx, record)?.into_raw()))
    }

    /// For ports that keep it as an address.
    pub fn into_raw(self) -> *const () {
        let raw = self.0.as_ptr().cast_const().cast();
        core::mem::forget(self);
        raw
    }

    /// Borrows what [`into_raw`](Self::into_raw) gave.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of this type, and [`from_raw`](Self::from_raw) was not called for it.
    pub unsafe fn borrow_raw<R>(raw: *const (), f: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: of `into_raw`, by the caller's promise: a record that `raw` counts, and so not null.
        let device = ManuallyDrop::new(unsafe { Self::from_raw(raw) });
        f(&device)
    }

    /// Takes back what [`into_raw`](Self::into_raw) gave.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of this type, and is not used again.
    pub unsafe fn from_raw(raw: *const ()) -> Self {
        // SAFETY: of `into_raw`, by the caller's promise: not null.
        Self(unsafe { NonNull::new_unchecked(raw.cast_mut().cast()) })
    }
}

/// Has the plugin a callback for timers or work items?
#[inline(always)]
pub(super) const fn has_scheduled<P: Plugin>() -> bool {
    P::TABLE.timer_at_dpc.is_some() || P::TABLE.work.is_some()
}

impl<P: Plugin> Drop for DeviceRecord<P> {
    fn drop(&mut self) {
        // Without callbacks there is nothing to drop, and the compiler shall know.
        if P::TABLE.int.is_some() {
            // SAFETY: dropped here alone, and not used after it.
            unsafe { ManuallyDrop::drop(&mut self.interrupts) }
        }
        if has_scheduled::<P>() {
            // SAFETY: dropped here alone, and not used after it.
            unsafe { ManuallyDrop::drop(&mut self.scheduled) }
        }
    }
}

impl<P: Plugin> DeviceRecord<P> {
    pub(super) fn new(
        bus_address: u64,
        state: DeviceState,
        handles: List,
        interrupts: Option<Interrupts<P>>,
        link: Option<Link>,
        scheduled: Option<Scheduled>,
        plugin: P,
    ) -> Self {
        Self {
            references: AtomicUsize::new(1),
            bus_address,
            state,
            plugin: UnsafeCell::new(Some(plugin)),
            handles,
            handle_count: AtomicU32::new(0),
            open_sessions: AtomicU32::new(0),
            interrupts: ManuallyDrop::new(interrupts),
            link,
            scheduled: ManuallyDrop::new(scheduled),
        }
    }

    /// Its timers and work items. None if the plugin has no callbacks for them: the compiler knows, and leaves out all that they would need.
    #[inline(always)]
    pub(super) fn scheduled(&self) -> Option<&Scheduled> {
        if has_scheduled::<P>() { self.scheduled.as_ref() } else { None }
    }

    /// The device's interrupt. None if the plugin has no callbacks for it: the compiler knows, and leaves out all that they would need.
    #[inline(always)]
    pub(super) fn interrupts(&self) -> Option<&Interrupts<P>> {
        if P::TABLE.int.is_none() { None } else { self.interrupts.as_ref() }
    }

    /// What is kept of the hardware. None if the plugin drives none: the compiler knows, and leaves out all that it would need.
    #[inline(always)]
    pub(super) fn link(&self) -> Option<&Link> {
        if P::TABLE.devices.is_empty() { None } else { self.link.as_ref() }
    }

    /// The plugin.
    ///
    /// # Safety
    /// The caller is inside a session's gate, between `irq_connect` and the return of `irq_disconnect`, inside the gate of timers
    /// and work items, or is `remove` itself.
    #[inline]
    pub(super) unsafe fn plugin(&self) -> &P {
        // SAFETY: only `remove` writes, after all of those have ended.
        match unsafe { &*self.plugin.get() } {
            Some(plugin) => plugin,
            // SAFETY: the invariant of the field.
            None => unsafe { core::hint::unreachable_unchecked() },
        }
    }

    /// Takes the plugin's value, to be dropped.
    ///
    /// # Safety
    /// Every gate is shut and drained, the interrupt is disconnected, and no session opens any more: nobody uses the plugin.
    pub(super) unsafe fn take_plugin(&self) -> Option<P> {
        // SAFETY: nobody reads, by the caller's promise.
        unsafe { &mut *self.plugin.get() }.take()
    }

    /// What the port hands to ISR and DPC.
    pub(super) fn as_cookie(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// Runs the plugin's `event`, on the thread that the port gives to such things, one at a time.
    ///
    /// # Safety
    /// The plugin is not taken out meanwhile: `remove` runs on no other thread.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn notify_event(&self, cx: &mut Passive, happening: Happening) {
        if kernel::poisoned() {
            return;
        }
        // SAFETY: only `remove` writes, and by the caller's promise not now.
        if let (Some(event), Some(plugin)) = (P::TABLE.event, unsafe { (*self.plugin.get()).as_ref() }) {
            let _ = event(plugin, cx, happening);
        }
    }
}
