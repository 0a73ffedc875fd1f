//! A bound device: the plugin's value, its sessions, its interrupt; from `init` until removal, and a record of it until the
//! last session has gone.
use super::{
    WaitQueue, Woken,
    interrupt::Interrupts,
    kernel,
    link::Link,
    pause::Pauses,
    session::{Session, SessionList},
    wait_kind,
};
use crate::{Device, Error, Happening, KBox, Passive, Plugin, Result, Status};
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::*},
};
use kp_abi::request::{NO_BUS_ADDRESS, state};

/// Handles of one device at most, open or not: those that are not cost little, but not nothing.
const MAX_HANDLES: u32 = 4 * crate::limits::MAX_SESSIONS;

/// What a port knows of a device.
pub struct RawDevice {
    id: usize,
    bars: [Option<usize>; 6],
    bus_address: u64,
}

impl RawDevice {
    /// Device `id` of the port, with the lengths of its memory BARs in bytes, and its PCI address as in QUERY.
    ///
    /// # Safety
    /// `id` names a device of this kernel until its driver's `remove` has returned; the lengths are right; nobody else drives it.
    pub unsafe fn new(id: usize, bars: [Option<usize>; 6], bus_address: u64) -> Self {
        Self { id, bars, bus_address }
    }

    /// For a plugin that drives no device.
    pub fn none() -> Self {
        Self { id: 0, bars: [None; 6], bus_address: NO_BUS_ADDRESS }
    }
}

/// The record of one bound device. Shared by the port's [`BoundDevice`] and every session.
pub struct DeviceRecord<P: Plugin> {
    references: AtomicUsize,
    pub(super) id: usize,
    pub(super) bus_address: u64,
    /// One of [`state`], but for POISONED, which the kernel knows.
    state: AtomicU32,
    /// Moves with `state`; calls of a suspended device wait for it.
    pub(super) epoch: AtomicU32,
    pub(super) changed: WaitQueue,
    /// The hardware is not there any more: no callback may touch it.
    absent: AtomicBool,
    /// `remove` was called: no callback of the port's comes after it.
    pub(super) removed: AtomicBool,
    /// `remove` has left the plugin where it is, for good.
    leaked: AtomicBool,
    /// The device sleeps, or is being reset: its interrupts are not looked at.
    irqs_ignored: AtomicBool,
    pub(super) pauses: Pauses,
    /// INVARIANT: Some until the last step of `remove`; used by sessions inside their gate, and by the interrupt while connected.
    plugin: UnsafeCell<Option<P>>,
    pub(super) sessions: SessionList<P>,
    /// Sessions, open or not.
    pub(super) handles: AtomicU32,
    pub(super) open_sessions: AtomicU32,
    next_session: AtomicU64,
    /// INVARIANT: Some if the plugin has interrupt callbacks.
    interrupts: ManuallyDrop<Option<Interrupts<P>>>,
    /// None: there is no hardware.
    link: Option<Link>,
}
// SAFETY: the plugin is Sync, and is taken out only by `remove`, after every gate is drained and the interrupt disconnected.
unsafe impl<P: Plugin> Sync for DeviceRecord<P> {}
// SAFETY: all parts are Send.
unsafe impl<P: Plugin> Send for DeviceRecord<P> {}

/// A counted reference to a bound device: one is the port's, one each session's.
pub struct BoundDevice<P: Plugin>(NonNull<DeviceRecord<P>>);
// SAFETY: a counted reference to something Send and Sync.
unsafe impl<P: Plugin> Send for BoundDevice<P> {}
// SAFETY: as above.
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
    /// Runs the plugin's `init`. Passive. NoMemory, or what `init` answers; nothing is left then. Poisoned: the plugin has panicked, and
    /// drives no device any more until it is loaded anew.
    ///
    /// # Safety
    /// Only a port binds, and keeps the rules for it as long as the driver is bound: requests, `suspend`, `resume` and `remove` come
    /// as [`Session`] and this type ask for.
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn bind(cx: &mut Passive, device: RawDevice) -> Result<Self> {
        const { P::TABLE.check() }
        if kernel::poisoned() {
            return Err(Status::POISONED.into());
        }
        let link = if P::TABLE.devices.is_empty() || device.id == 0 { None } else { Some(Link::new(cx, device.id)?) };
        let made = Self::make(cx, device, link.clone());
        // What `init` has kept somewhere is of no use if the device is not bound.
        if let (Err(_), Some(link)) = (&made, &link) {
            link.cut(cx);
        }
        made
    }

    /// See [`bind`](Self::bind).
    #[cfg_attr(kp_driver, optimize(size))]
    fn make(cx: &mut Passive, device: RawDevice, link: Option<Link>) -> Result<Self> {
        let RawDevice { id, bars, bus_address } = device;
        let changed = WaitQueue::new(cx)?;
        let sessions = SessionList::new(cx)?;
        let interrupts = match P::TABLE.int {
            Some(_) => Some(Interrupts::new(cx)?),
            None => None,
        };
        let plugin = P::init(cx, Device::new(id, bars, link.clone())).map_err(refused)?;
        let bound = DeviceRecord {
            references: AtomicUsize::new(1),
            id,
            bus_address,
            state: AtomicU32::new(state::BOUND),
            epoch: AtomicU32::new(0),
            changed,
            absent: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            leaked: AtomicBool::new(false),
            irqs_ignored: AtomicBool::new(false),
            pauses: Pauses::new(),
            handles: AtomicU32::new(0),
            plugin: UnsafeCell::new(Some(plugin)),
            sessions,
            open_sessions: AtomicU32::new(0),
            next_session: AtomicU64::new(1),
            interrupts: ManuallyDrop::new(interrupts),
            link,
        };
        Ok(Self(KBox::new(cx, bound)?.into_raw()))
    }

    /// The device is going, or the plugin is unloaded: ends every session, runs each callback that is due, drops the plugin. When
    /// it returns true no code of the plugin runs, and none will. False: the plugin has panicked, and a call that will never end, or
    /// that has not yet, is still in it: what it may use stays for good, and so must the device's record in the port, though its
    /// interrupt is disconnected. `present`: the hardware is still there. A second time it does nothing. Passive.
    ///
    /// # Safety
    /// No `suspend`, `resume` or `remove` of this device runs at the same time: the plugin is dropped here.
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn remove(&self, cx: &mut Passive, present: bool) -> bool {
        if self.removed.swap(true, AcqRel) {
            return !self.leaked.load(Acquire);
        }
        self.absent.store(!present, Relaxed);
        if !present {
            self.cut(cx);
        }
        // SAFETY: the caller's promise; the plugin is taken out only below.
        unsafe { self.notify_event(cx, Happening::Removing) };
        self.set_state(state::GONE);
        let closed = self.sessions.close_all(cx);
        if kernel::poisoned()
            && let Some(interrupts) = self.interrupts()
        {
            interrupts.force_disconnect(cx, self);
        }
        if closed {
            // SAFETY: every gate is shut and drained, the interrupt is off, and no new session opens: nobody uses it.
            drop(unsafe { (*self.plugin.get()).take() });
        } else {
            crate::log::parts(&[P::TABLE.name, " is leaked: a call of it panicked and never returned"]);
            self.leaked.store(true, Release);
        }
        self.cut(cx);
        closed
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
        // SAFETY: the caller's promise: a record that is counted by `raw`, and so is not null.
        let driver = core::mem::ManuallyDrop::new(Self(unsafe { NonNull::new_unchecked(raw.cast_mut().cast()) }));
        f(&driver)
    }

    /// Takes back what [`into_raw`](Self::into_raw) gave.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of this type, and is not used again.
    pub unsafe fn from_raw(raw: *const ()) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { NonNull::new_unchecked(raw.cast_mut().cast()) })
    }

    /// Runs `int_at_irql` for one vector: what a port that knows its plugin's type calls rather than [`IrqEntry`](super::IrqEntry).
    ///
    /// # Safety
    /// At Irql, between `irq_connect` and the return of `irq_disconnect`, never twice at once for one vector; `cookie` is the entry's.
    #[inline]
    pub unsafe fn isr(cookie: *const (), vector: u32) -> bool {
        // SAFETY: the caller's promise.
        unsafe { Interrupts::<P>::isr(cookie, vector) }
    }

    /// Runs `int_at_dpc` for one vector.
    ///
    /// # Safety
    /// As [`isr`](Self::isr), at Dispatch.
    #[inline]
    pub unsafe fn dpc(cookie: *const (), vector: u32) {
        // SAFETY: the caller's promise.
        unsafe { Interrupts::<P>::dpc(cookie, vector) }
    }

    /// A session's shell: what open(2) or IRP_MJ_CREATE makes. The plugin's `open` runs at the OPEN request. Passive.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn session(&self, cx: &mut Passive, caller: crate::Caller) -> Result<NonNull<Session<P>>> {
        if self.state() == state::GONE {
            return Err(Status::DEVICE_GONE.into());
        }
        if self.handles.fetch_add(1, AcqRel) >= MAX_HANDLES {
            self.handles.fetch_sub(1, AcqRel);
            return Err(Status::TOO_MANY_SESSIONS.into());
        }
        let session = Session::new(cx, self.clone(), caller).inspect_err(|_| {
            self.handles.fetch_sub(1, AcqRel);
        })?;
        // SAFETY: alive, new, and in no list; `Session::release` takes it out before it is freed.
        if unsafe { self.sessions.insert(cx, session) }.is_err() {
            // SAFETY: it came from a KBox, and nobody else has its address.
            drop(unsafe { KBox::from_raw(session) });
            self.handles.fetch_sub(1, AcqRel);
            return Err(Status::POISONED.into());
        }
        Ok(session)
    }
}

/// What the kernel is told of an `init` that has refused. Not that all is well: it would go on with a driver that there is not.
#[cfg_attr(kp_driver, optimize(size))]
fn refused(error: Error) -> Error {
    if error == Status::OK { Status::INIT_FAILED.into() } else { error }
}

impl<P: Plugin> Drop for DeviceRecord<P> {
    fn drop(&mut self) {
        // Without callbacks there is nothing to drop, and the compiler shall know.
        if P::TABLE.int.is_some() {
            // SAFETY: dropped here alone, and not used after it.
            unsafe { ManuallyDrop::drop(&mut self.interrupts) }
        }
    }
}

impl<P: Plugin> DeviceRecord<P> {
    /// The device's interrupt. None if the plugin has no callbacks for it: the compiler knows, and leaves out all that they would need.
    #[inline(always)]
    pub(super) fn interrupts(&self) -> Option<&Interrupts<P>> {
        match (&P::TABLE.int, &*self.interrupts) {
            (None, _) => None,
            (Some(_), Some(interrupts)) => Some(interrupts),
            // SAFETY: the invariant of the field.
            (Some(_), None) => unsafe { core::hint::unreachable_unchecked() },
        }
    }

    /// The plugin.
    ///
    /// # Safety
    /// The caller is inside a session's gate, or between `irq_connect` and the return of `irq_disconnect`, or is `remove` itself.
    #[inline]
    pub(super) unsafe fn plugin(&self) -> &P {
        // SAFETY: only `remove` writes, after all of those have ended.
        match unsafe { &*self.plugin.get() } {
            Some(plugin) => plugin,
            // SAFETY: the invariant of the field.
            None => unsafe { core::hint::unreachable_unchecked() },
        }
    }

    #[inline]
    pub(super) fn state(&self) -> u32 {
        self.state.load(Acquire)
    }

    pub(super) fn is_absent(&self) -> bool {
        self.absent.load(Relaxed)
    }

    /// What the plugin has kept of the device reaches it no more.
    fn cut(&self, cx: &mut Passive) {
        if let Some(link) = &self.link {
            link.cut(cx);
        }
    }

    pub(super) fn new_session_number(&self) -> u64 {
        self.next_session.fetch_add(1, Relaxed)
    }

    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn set_state(&self, state: u32) {
        self.state.store(state, Release);
        self.epoch.fetch_add(1, Release);
        self.changed.wake();
    }

    /// Are its interrupts not looked at?
    #[inline]
    pub(super) fn ignores_irqs(&self) -> bool {
        self.irqs_ignored.load(Acquire)
    }

    /// From now on its interrupts are not looked at.
    pub(super) fn ignore_irqs(&self) {
        self.irqs_ignored.store(true, Release);
    }

    /// Its interrupts are looked at again.
    pub(super) fn heed_irqs(&self) {
        self.irqs_ignored.store(false, Release);
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

    /// Is the device at work?
    #[inline]
    pub(super) fn is_awake(&self) -> bool {
        // Both looks in one branch: hardly ever does either find something.
        (self.state() == state::BOUND) & !kernel::poisoned()
    }

    /// Is the device at work? Waits while it sleeps, unless `nowait`.
    #[inline]
    pub(super) fn awake(&self, nowait: bool) -> Result<()> {
        if self.is_awake() { Ok(()) } else { self.wait_awake(nowait) }
    }

    #[cold]
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn wait_awake(&self, nowait: bool) -> Result<()> {
        loop {
            let epoch = self.epoch.load(Acquire);
            if kernel::poisoned() {
                return Err(Status::POISONED.into());
            }
            match self.state() {
                state::BOUND => return Ok(()),
                state::SUSPENDED if nowait => return Err(Status::SUSPENDED.into()),
                state::SUSPENDED => {}
                _ => return Err(Status::DEVICE_GONE.into()),
            }
            if self.changed.wait(&self.epoch, epoch, u64::MAX, wait_kind::KILLABLE) == Woken::Interrupted {
                return Err(Error::from(Status::INTERRUPTED));
            }
        }
    }
}
