//! The life of a device and of its sessions: bind and remove, open and close. Every tear-down is here, in its one order.
use super::{
    Deadline, OwnerDied,
    device::{BoundDevice, DeviceRecord, RawDevice, has_scheduled, new_session_number},
    device_state::DeviceState,
    enable::{force_disconnect, session_closes},
    interrupt::Interrupts,
    kernel,
    link::Link,
    list::List,
    own,
    scheduled::{self, Entries, Scheduled},
    session::{Session, SessionState},
};
use crate::{Caller, Device, Error, Happening, KBox, Passive, Plugin, Result, Status, limits};
use core::{ptr::NonNull, sync::atomic::Ordering::*};
use kp_abi::{TransportStatus, request::state};

/// Handles of one device at most, open or not: those that are not cost little, but not nothing.
const MAX_HANDLES: u32 = 4 * limits::MAX_SESSIONS;

impl<P: Plugin> BoundDevice<P> {
    /// Runs the plugin's `init`. Passive. NoMemory, or what `init` answers; nothing is left then. Poisoned: the plugin has panicked, and
    /// drives no device any more until it is loaded anew.
    ///
    /// # Safety
    /// Only a port binds, and keeps the rules for it as long as the device is bound: requests, `suspend`, `resume` and `remove` come
    /// as [`Session`] and this type ask for.
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn bind(cx: &mut Passive, device: RawDevice) -> Result<Self> {
        const { P::TABLE.check() }
        if kernel::poisoned() {
            return Err(Status::POISONED.into());
        }
        let link = match device.id {
            Some(id) if !P::TABLE.devices.is_empty() => Some(Link::new(cx, id)?),
            _ => None,
        };
        let scheduled = if has_scheduled::<P>() { Some(Scheduled::new(cx, entries::<P>())?) } else { None };
        let made = make(cx, device, link.clone(), scheduled.clone());
        // What `init` has kept somewhere is of no use if the device is not bound.
        if let (Err(_), Some(scheduled)) = (&made, &scheduled) {
            scheduled.end(cx);
        }
        if let (Err(_), Some(link)) = (&made, &link) {
            link.stop_dma(cx, true);
            link.end(cx);
        }
        if P::TABLE.own_interrupt { made.and_then(|device| begin_interrupt(cx, device)) } else { made }
    }

    /// A handle: what open(2) or IRP_MJ_CREATE makes. The plugin's `open` runs at the OPEN request. Passive.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn session(&self, cx: &mut Passive, caller: Caller) -> Result<NonNull<Session<P>>> {
        if self.state.is_gone() {
            return Err(Status::DEVICE_GONE.into());
        }
        if self.handle_count.fetch_add(1, AcqRel) >= MAX_HANDLES {
            self.handle_count.fetch_sub(1, AcqRel);
            return Err(Status::TOO_MANY_SESSIONS.into());
        }
        let session = Session::new(cx, self.clone(), caller).inspect_err(|_| {
            self.handle_count.fetch_sub(1, AcqRel);
        })?;
        // SAFETY: just made, and freed nowhere but below and in `Session::release`.
        let links = unsafe { &session.as_ref().links };
        // SAFETY: the session's links; it is in no list, and `Session::release` takes it out before it is freed.
        if unsafe { self.handles.insert(cx, session.cast(), links) }.is_err() {
            // SAFETY: it came from a KBox, and nobody else has its address.
            drop(unsafe { KBox::from_raw(session) });
            self.handle_count.fetch_sub(1, AcqRel);
            return Err(Status::POISONED.into());
        }
        Ok(session)
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
        if let Err(earlier) = self.state.begin_removal(present) {
            return earlier;
        }
        if !present {
            self.cut_link(cx);
        }
        // SAFETY: only this function takes the plugin out, and only below.
        unsafe { self.notify_event(cx, Happening::Removing) };
        self.state.set(state::GONE);
        // All of them first: a call of the one that is torn down may wait for a lock, and who has that may sleep in a call of another.
        self.each_session(cx, |session, cx| {
            session.context.waker.cancel_for_close(cx);
            true
        });
        let closed = self.each_session(cx, tear_down);
        // After the sessions, whose calls may have waited for it; also if one of those is leaked.
        let closed = (!P::TABLE.own_interrupt || own::end(cx, self)) && closed;
        self.end_binding(cx, present, closed)
    }

    /// The last part of a removal: no session and no interrupt is left. `closed`: nobody is inside the plugin but timers and work.
    #[cfg_attr(kp_driver, optimize(size))]
    fn end_binding(&self, cx: &mut Passive, present: bool, closed: bool) -> bool {
        // After the sessions, which may have waited for them; also if one of those is leaked.
        let closed = self.scheduled().is_none_or(|scheduled| scheduled.end(cx)) && closed;
        if kernel::poisoned()
            && let Some(interrupts) = self.interrupts()
        {
            force_disconnect(cx, interrupts);
        }
        if let Some(link) = self.link() {
            link.stop_dma(cx, present); // also when the plugin has panicked: nothing else quiets its device then
        }
        if closed {
            if let Some(link) = self.link() {
                link.empty_quarantine();
            }
            // SAFETY: every gate is shut and drained, the interrupt is off, and no new session opens: nobody uses it.
            drop(unsafe { self.take_plugin() });
            if let Some(link) = self.link() {
                link.end(cx);
            }
        } else {
            crate::log::parts(&[P::TABLE.name, " is leaked: a call of it panicked and never returned"]);
            self.state.leak();
            self.cut_link(cx);
            core::mem::forget(self.clone()); // whoever gives up references: it is not freed below those who are inside
        }
        closed
    }

    /// What the plugin has kept of the device's configuration reaches it no more.
    fn cut_link(&self, cx: &mut Passive) {
        if let Some(link) = self.link() {
            link.cut(cx);
        }
    }
}

/// See [`BoundDevice::bind`].
#[cfg_attr(kp_driver, optimize(size))]
fn make<P: Plugin>(
    cx: &mut Passive,
    device: RawDevice,
    link: Option<Link>,
    scheduled: Option<Scheduled>,
) -> Result<BoundDevice<P>> {
    let RawDevice { id, bars, bus_address } = device;
    let state = DeviceState::new(cx)?;
    let handles = List::new(cx)?;
    let interrupts = match (P::TABLE.int.is_some(), id) {
        (true, Some(id)) => Some(Interrupts::new(cx, id)?),
        _ => None,
    };
    let plugin = P::init(cx, Device::new(id, bars, link.clone(), scheduled.clone())).map_err(init_error)?;
    let record = DeviceRecord::new(bus_address, state, handles, interrupts, link, scheduled, plugin);
    let device = BoundDevice::new(cx, record)?;
    if let Some(scheduled) = device.scheduled() {
        scheduled.open(cx, device.as_cookie());
    }
    Ok(device)
}

/// Enables an interrupt of the plugin's own. If that fails, it is as if `init` had refused, but that timers and work may run by now.
#[cfg_attr(kp_driver, optimize(size))]
fn begin_interrupt<P: Plugin>(cx: &mut Passive, device: BoundDevice<P>) -> Result<BoundDevice<P>> {
    match own::begin(cx, &device) {
        Ok(()) => Ok(device),
        Err(error) => {
            device.end_binding(cx, true, true);
            Err(init_error(error))
        }
    }
}

/// What ports call for the plugin's timers and work items.
fn entries<P: Plugin>() -> Entries {
    let timer: Option<unsafe fn(*const ())> =
        if P::TABLE.timer_at_dpc.is_some() { Some(scheduled::timer::<P>) } else { None };
    let work: Option<unsafe fn(*const ())> = if P::TABLE.work.is_some() { Some(scheduled::work::<P>) } else { None };
    Entries { timer, work }
}

/// The error of an `init` that has refused. An OK in it becomes InitFailed: the kernel would go on with a driver that is not there.
#[cfg_attr(kp_driver, optimize(size))]
fn init_error(error: Error) -> Error {
    if error == Status::OK { Status::INIT_FAILED.into() } else { error }
}

impl<P: Plugin> DeviceRecord<P> {
    /// Runs `f` for each session, open or not, one after the other. Did it answer true each time?
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn each_session(&self, cx: &mut Passive, f: impl Fn(&Session<P>, &mut Passive) -> bool) -> bool {
        self.handles.each(cx, |handle, cx| {
            // SAFETY: the handles of this device are sessions of its plugin, and alive while they are in the list.
            f(unsafe { handle.cast::<Session<P>>().as_ref() }, cx)
        })
    }
}

impl<P: Plugin> Session<P> {
    /// The last reference of the operating system is gone: closes what is open and frees the session. Passive.
    ///
    /// # Safety
    /// `this` came from [`BoundDevice::session`], no request of it is in flight, and it is not used again.
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn release(this: NonNull<Self>, cx: &mut Passive) {
        // SAFETY: a session stays until it is released, which happens at the end of this function.
        let session = unsafe { this.as_ref() };
        // A session that a dead call is still inside stays, with its place in the list: removal sees it there.
        if !tear_down(session, cx) {
            crate::log::parts(&["a session of ", P::TABLE.name, " is leaked: its call panicked"]);
            return;
        }
        let device = session.device.clone();
        // SAFETY: it was inserted by `BoundDevice::session` and is taken out once, here.
        if unsafe { device.handles.remove(cx, &session.links) }.is_err() {
            return;
        }
        device.handle_count.fetch_sub(1, AcqRel);
        // SAFETY: it came from a KBox, and nobody has its address any more: not the list, not the caller.
        drop(unsafe { KBox::from_raw(this) });
    }

    /// The last handle is closed, but requests may be under way, and [`release`](Self::release) comes after them: ends them, and closes
    /// what is open. For kernels that tell the two apart. Idempotent. Passive.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn end(&self, cx: &mut Passive) {
        tear_down(self, cx);
    }
}

/// OPEN, after the interface was found to fit. The session's number.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn open<P: Plugin>(session: &Session<P>, cx: &mut Passive, data: &[u8], features: u64) -> Result<u64> {
    let device = &session.device;
    loop {
        device.state.awake(false)?;
        let opened = session.lock.with_killable(cx, |cx| {
            // A pause that has begun since has found this session's gate shut, and waits for nobody in it.
            if device.state.get() == state::SUSPENDED { None } else { Some(open_locked(session, cx, data, features)) }
        })?;
        if let Some(opened) = opened {
            return opened;
        }
    }
}

/// Under the session's lock.
#[cfg_attr(kp_driver, optimize(size))]
fn open_locked<P: Plugin>(session: &Session<P>, cx: &mut Passive, data: &[u8], features: u64) -> Result<u64> {
    match session.state() {
        SessionState::Fresh => {}
        SessionState::Open => return Err(Status::ALREADY_OPEN.into()),
        SessionState::Closing | SessionState::Closed => return Err(session.refusal_status().into()),
    }
    let count = &session.device.open_sessions;
    if count.fetch_add(1, AcqRel) >= limits::MAX_SESSIONS {
        count.fetch_sub(1, AcqRel);
        return Err(Status::TOO_MANY_SESSIONS.into());
    }
    open_plugin(session, cx, data, features).inspect_err(|_| {
        count.fetch_sub(1, AcqRel);
    })
}

/// Runs the plugin's `open`, under the session's lock: removal waits for that before it drops the plugin.
#[cfg_attr(kp_driver, optimize(size))]
fn open_plugin<P: Plugin>(session: &Session<P>, cx: &mut Passive, data: &[u8], features: u64) -> Result<u64> {
    let device = &session.device;
    if device.state.is_gone() {
        return Err(Status::DEVICE_GONE.into());
    }
    let Some(open) = P::TABLE.open else { return Err(TransportStatus::UNKNOWN_REQUEST.status().into()) };
    session.buffers.make_small(cx)?;
    // SAFETY: removal has not passed this session's lock, which is held here.
    let plugin = unsafe { device.plugin() };
    let value = open(plugin, cx, &session.caller, data).map_err(|error| session.sanitize_error(error))?;
    if session.context.waker.is_closing() {
        if let Some(close) = P::TABLE.close {
            cx.undisturbed(|cx| close(plugin, cx, value));
        }
        return Err(session.refusal_status().into());
    }
    // SAFETY: the lock is held, the gate is shut, and nobody is inside.
    unsafe { session.replace_value(Some(value)) };
    session.set_features(features);
    session.set_state(SessionState::Open);
    session.gate.open();
    Ok(new_session_number())
}

/// CLOSE. The second caller waits for the first.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn close<P: Plugin>(session: &Session<P>, cx: &mut Passive) -> Result<()> {
    if session.state() == SessionState::Closed && !session.device.state.is_gone() {
        return Err(Status::CLOSED.into());
    }
    if cx.undisturbed(|cx| tear_down(session, cx)) { Ok(()) } else { Err(Status::POISONED.into()) }
}

/// The one order of a session's tear-down: shut the gate, wake everybody, disable the interrupt if it is this session's, wait for the
/// calls, close. Idempotent; a second caller waits for the first. False: the plugin panicked, and a call is still inside; the session stays
/// as it is for good.
#[cfg_attr(kp_driver, optimize(size))]
fn tear_down<P: Plugin>(session: &Session<P>, cx: &mut Passive) -> bool {
    session.gate.shut();
    session.context.waker.cancel_for_close(cx);
    session.context.waker.wake();
    let device = &session.device.state;
    loop {
        // Nothing is switched off, and nothing of the plugin's runs, at a device that is being reset.
        device.wait_for_reset();
        let torn = session.lock.with(cx, |cx| (!device.is_resetting()).then(|| tear_down_locked(session, cx)));
        match torn {
            Ok(None) => {}
            Ok(Some(torn)) => return torn,
            Err(OwnerDied) => return false,
        }
    }
}

/// Under the session's lock.
#[cfg_attr(kp_driver, optimize(size))]
fn tear_down_locked<P: Plugin>(session: &Session<P>, cx: &mut Passive) -> bool {
    session.gate.shut(); // again: an OPEN, or the end of a reset, may have opened it since
    match session.state() {
        SessionState::Open => {}
        SessionState::Closing => return false, // an earlier tear-down has left it so
        SessionState::Fresh | SessionState::Closed => {
            session.set_state(SessionState::Closed);
            return true;
        }
    }
    session.set_state(SessionState::Closing);
    session.set_features(0);
    session.context.waker.wake();
    // The second look is for an INT_ENABLE that was under way at the first: it is over when the gate is drained.
    let disabled = close_interrupt(session, cx).is_ok();
    session.rings.revoke();
    let drained = session.gate.drain(&session.context.waker.queue, Deadline::NEVER);
    if !drained || !disabled || close_interrupt(session, cx).is_err() {
        return false;
    }
    close_plugin(session, cx);
    if let Some(buffers) = session.buffer_table() {
        buffers.end(cx);
    }
    session.device.open_sessions.fetch_sub(1, AcqRel);
    session.set_state(SessionState::Closed);
    session.context.waker.wake();
    true
}

/// Disables the interrupt if it is this session's.
#[cfg_attr(kp_driver, optimize(size))]
fn close_interrupt<P: Plugin>(session: &Session<P>, cx: &mut Passive) -> Result<(), OwnerDied> {
    session.device.interrupts().map_or(Ok(()), |interrupts| session_closes(cx, interrupts, session))
}

/// Runs the plugin's `close`. Under the session's lock, the gate drained.
#[cfg_attr(kp_driver, optimize(size))]
fn close_plugin<P: Plugin>(session: &Session<P>, cx: &mut Passive) {
    // SAFETY: the lock is held, and the gate is shut and drained.
    let Some(value) = (unsafe { session.replace_value(None) }) else { return };
    if kernel::poisoned() {
        drop(value);
    } else if let Some(close) = P::TABLE.close {
        // SAFETY: removal drops the plugin only after this session's tear-down.
        close(unsafe { session.device.plugin() }, cx, value);
    }
}
