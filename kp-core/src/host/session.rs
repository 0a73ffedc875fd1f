//! One open. A handle of the operating system points to it, and between OPEN and CLOSE the plugin's session value is in it. Requests go in
//! through its gate; `lifecycle` opens it, closes it and frees it.
use super::{
    RawWaitQueue, RobustMutex,
    buffer_table::BufferTable,
    buffers::Buffers,
    device::BoundDevice,
    gate::{Gate, Pass, Refused},
    kernel,
    kernel_page::PageSlot,
    list::Links,
    ring::Rings,
    session_context::SessionContext,
};
use crate::{Caller, Error, KBox, Message, Passive, Plugin, Reply, Result, Status};
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
};

/// What became of a session. Its device's removal shows in the device's state.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum SessionState {
    /// OPEN has not come, or was refused.
    Fresh = 0,
    Open = 1,
    Closing = 2,
    Closed = 3,
}

/// One open. The port holds its address until [`release`](Self::release).
pub struct Session<P: Plugin> {
    pub(super) device: BoundDevice<P>,
    pub(super) caller: Caller,
    state: AtomicU32,
    pub(super) gate: Gate,
    pub(super) context: SessionContext,
    /// INT_WAITs that are not over.
    pub(super) waits: AtomicU32,
    /// Held by OPEN and by a close.
    pub(super) lock: RobustMutex,
    /// INVARIANT: Some while the gate is open or somebody is inside; written under `lock` only.
    value: UnsafeCell<Option<P::Session>>,
    pub(super) buffers: Buffers,
    pub(super) rings: Rings,
    /// Optional parts of the ABI that OPEN has granted.
    features: AtomicU64,
    pub(super) links: Links,
}
// SAFETY: `value` is Sync and written under `lock` while nobody is inside.
unsafe impl<P: Plugin> Sync for Session<P> {}
// SAFETY: all parts are Send.
unsafe impl<P: Plugin> Send for Session<P> {}

impl<P: Plugin> Drop for Session<P> {
    fn drop(&mut self) {
        if Self::has_buffers() {
            // SAFETY: dropped here alone, and not used after it.
            unsafe { ManuallyDrop::drop(&mut self.context.buffers) }
        }
    }
}

impl<P: Plugin> Session<P> {
    /// Do the plugin's messages name buffers?
    const NAMES_BUFFERS: bool = P::TABLE.has_buffers();

    /// May apps have buffers: because messages name them, or because rings are made of them? A driver is linked for one answer.
    #[inline(always)]
    pub(super) fn has_buffers() -> bool {
        Self::NAMES_BUFFERS || !kernel::can_mmap()
    }

    /// The app's buffers. None if there are none: the compiler knows, and leaves out all that they would need.
    #[inline(always)]
    pub(super) fn buffer_table(&self) -> Option<&BufferTable> {
        if Self::has_buffers() { self.context.buffers.as_ref() } else { None }
    }

    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn new(cx: &mut Passive, device: BoundDevice<P>, caller: Caller) -> Result<NonNull<Self>> {
        let lock = RobustMutex::new(cx)?;
        // From here on the session drops what is in there.
        let context = SessionContext::new(cx, Self::has_buffers())?;
        let session = Session {
            device,
            caller,
            state: AtomicU32::new(SessionState::Fresh as u32),
            gate: Gate::new(),
            context,
            waits: AtomicU32::new(0),
            lock,
            value: UnsafeCell::new(None),
            buffers: Buffers::new(),
            rings: Rings::new(),
            features: AtomicU64::new(0),
            links: Links::new(),
        };
        Ok(KBox::new(cx, session)?.into_raw())
    }

    pub(super) fn state(&self) -> SessionState {
        match self.state.load(Acquire) {
            0 => SessionState::Fresh,
            1 => SessionState::Open,
            2 => SessionState::Closing,
            _ => SessionState::Closed,
        }
    }

    pub(super) fn set_state(&self, state: SessionState) {
        self.state.store(state as u32, Release);
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.state() == SessionState::Open
    }

    /// What its waits and drains wait on, for a port's own poll. Alive until [`release`](Self::release).
    pub fn wait_queue(&self) -> NonNull<RawWaitQueue> {
        self.context.waker.queue.raw()
    }

    /// The kernel page of the session's rings, if there is one. It lives as long as the session.
    pub(super) fn kernel_page(&self) -> &PageSlot {
        self.rings.page()
    }

    #[inline]
    pub(super) fn features(&self) -> u64 {
        self.features.load(Relaxed)
    }

    pub(super) fn set_features(&self, features: u64) {
        self.features.store(features, Release);
    }

    /// Gives the plugin's session value, and takes what was there.
    ///
    /// # Safety
    /// `lock` is held, the gate is shut, and nobody is inside.
    pub(super) unsafe fn replace_value(&self, value: Option<P::Session>) -> Option<P::Session> {
        // SAFETY: nobody reads, by the caller's promise.
        core::mem::replace(unsafe { &mut *self.value.get() }, value)
    }

    /// Goes inside, when the device is awake: as long as the answer is there the plugin and the session's value live.
    #[inline(always)]
    pub(super) fn enter(&self, nowait: bool) -> Result<Inside<'_, P>> {
        if !self.device.state.is_awake() {
            self.wait_awake(nowait)?;
        }
        let pass = match self.gate.enter(&self.context.waker.queue) {
            Ok(pass) => pass,
            Err(refused) => self.enter_later(refused, nowait)?,
        };
        Ok(Inside { session: self, _pass: pass })
    }

    /// The device is not at work. A session that is not open does not wait for it.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn wait_awake(&self, nowait: bool) -> Result<()> {
        if self.is_open() { self.device.state.awake(nowait) } else { Err(self.refusal_status().into()) }
    }

    /// The gate lets nobody in: for a while, or why not.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn enter_later(&self, mut refused: Refused, nowait: bool) -> Result<Pass<'_>> {
        loop {
            match refused {
                Refused::Shut => return Err(self.refusal_status().into()),
                Refused::Full => return Err(Status::TOO_MANY_CALLS.into()),
                // The device is at work again no sooner than the gate is open.
                Refused::Paused => self.device.state.awake(nowait)?,
            }
            match self.gate.enter(&self.context.waker.queue) {
                Ok(pass) => return Ok(pass),
                Err(again) => refused = again,
            }
        }
    }

    /// Why a request that needs an open session is not served.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    pub(super) fn refusal_status(&self) -> Status {
        if kernel::poisoned() {
            Status::POISONED
        } else if self.device.state.is_gone() {
            Status::DEVICE_GONE
        } else if self.state() == SessionState::Fresh && !self.context.waker.is_closing() {
            Status::NOT_OPEN
        } else {
            Status::CLOSED
        }
    }

    /// Is every further message of this session refused? Its gate is shut, and the device gone, before the session's state says so.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    pub(super) fn is_ending(&self) -> bool {
        self.context.waker.is_closing() || self.device.state.is_gone() || kernel::poisoned()
    }

    /// An error that says there is no interrupt, as the app shall see it: a session that closes disables its own.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    pub(super) fn disabled_status(&self, error: Error) -> Error {
        let disabled = [Status::NOT_ENABLED, Status::INT_DISABLED, Status::INTERRUPT_OWNED].contains(&error.status);
        if disabled && !self.is_open() { self.refusal_status().into() } else { error }
    }

    /// What an app may see of a handler's error. The numbers that transports answer with are not a plugin's to give, and a sleep
    /// that ended because the device goes says so.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    pub(super) fn sanitize_error(&self, error: Error) -> Error {
        match error.status {
            Status::NO_MEMORY | Status::INTERRUPTED => error,
            Status::CLOSED => self.refusal_status().into(),
            Status::PROTOCOL | Status::NO_REPLY => Error::plugin(error.status.0),
            status if status.0 < 16 || status.row().is_none() => Error::plugin(status.0),
            _ => error,
        }
    }
}

/// What answers one message: the plugin's `dispatch`, or the code of one message that an interface has generated.
pub(super) trait MessageFn<P: Plugin>:
    for<'m> FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> Result<()>
{
}
impl<P: Plugin, F> MessageFn<P> for F where
    F: for<'m> FnOnce(&P, &mut Passive, &P::Session, Message<'m>, &mut Reply<'m>) -> Result<()>
{
}

/// Being inside a session's gate.
pub(super) struct Inside<'a, P: Plugin> {
    pub(super) session: &'a Session<P>,
    _pass: Pass<'a>,
}

impl<P: Plugin> Inside<'_, P> {
    /// The plugin.
    #[inline(always)]
    pub(super) fn plugin(&self) -> &P {
        // SAFETY: inside the gate: removal waits for this session's tear-down, and that for the gate.
        unsafe { self.session.device.plugin() }
    }

    /// The plugin's session value.
    #[inline(always)]
    pub(super) fn value(&self) -> &P::Session {
        // SAFETY: inside the gate nobody writes.
        match unsafe { &*self.session.value.get() } {
            Some(value) => value,
            // SAFETY: the invariant of the field.
            None => unsafe { core::hint::unreachable_unchecked() },
        }
    }

    /// Has `run` answer a message, and leaves.
    #[inline(always)]
    pub(super) fn run<'m>(
        self,
        cx: &mut Passive,
        run: impl MessageFn<P>,
        message: Message<'m>,
        reply: &mut Reply<'m>,
    ) -> Result<()> {
        run(self.plugin(), cx, self.value(), message, reply)
    }

    /// Has the plugin answer a message, by its table, and leaves.
    #[inline(always)]
    pub(super) fn dispatch<'m>(self, cx: &mut Passive, message: Message<'m>, reply: &mut Reply<'m>) -> Result<()> {
        let Some(call) = P::TABLE.call else { return Err(Status::UNKNOWN_MESSAGE.into()) };
        call(self.plugin(), cx, self.value(), message, reply)
    }
}
