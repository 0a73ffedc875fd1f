//! One open: a shell that the operating system's handle points to, and in it, between OPEN and CLOSE, the plugin's session.
use super::{
    Cancellation, OwnerDied, RawWaitQueue, RobustMutex,
    buffers::{AnyBuffers, Buffers},
    device::{BoundDevice, DeviceRecord},
    gate::{FOREVER, Gate, Pass, Refused},
    kernel,
    ring::Rings,
    wait::Waker,
};
use crate::{Caller, Error, KBox, Message, Passive, Plugin, Reply, Result, Status, limits};
use core::{
    cell::UnsafeCell,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
};
use kp_abi::{TransportStatus, request::state};

/// Data of a call and reply, each, up to which it allocates nothing, in bytes.
pub(super) const SMALL: usize = 4096;

/// Whether the buffers that every session has do for so many bytes each way.
#[inline(always)]
pub(super) fn is_small(in_len: usize, out_len: usize) -> bool {
    in_len <= SMALL && out_len <= SMALL
}

/// What became of a session. Its device's removal shows in the device's state.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Life {
    Fresh = 0,
    Open = 1,
    Closing = 2,
    Closed = 3,
}

/// One open. The port holds its address until [`release`](Self::release).
pub struct Session<P: Plugin> {
    pub(super) device: BoundDevice<P>,
    caller: Caller,
    life: AtomicU32,
    gate: Gate,
    /// Ends the sleeps of this session's calls; its signal wakes its waits and its drain too.
    cancel: Cancellation,
    /// Moves for every reason for which a wait may have to return.
    pub(super) waker: Waker,
    /// RobustGuard by OPEN and by whoever closes.
    control: RobustMutex,
    /// INVARIANT: Some while the gate is open or somebody is inside; written under `control` only.
    session: UnsafeCell<Option<P::Session>>,
    /// For most calls; made at OPEN.
    pub(super) small: Buffers<SMALL>,
    /// For the largest; made at the first of them.
    pub(super) large: Buffers<{ limits::MAX_DATA }>,
    pub(super) rings: Rings,
    /// Optional parts of the ABI that OPEN has granted.
    features: AtomicU64,
    previous: UnsafeCell<*mut Session<P>>,
    next: UnsafeCell<*mut Session<P>>,
}
// SAFETY: `session` is Sync and written under `control` while nobody is inside; the links belong to the list's lock.
unsafe impl<P: Plugin> Sync for Session<P> {}
// SAFETY: all parts are Send.
unsafe impl<P: Plugin> Send for Session<P> {}

impl<P: Plugin> Session<P> {
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn new(cx: &mut Passive, device: BoundDevice<P>, caller: Caller) -> Result<NonNull<Self>> {
        let cancel = Cancellation::new(cx)?;
        let control = RobustMutex::new(cx)?;
        let session = Session {
            device,
            caller,
            life: AtomicU32::new(Life::Fresh as u32),
            gate: Gate::new(),
            cancel,
            waker: Waker::new(),
            control,
            session: UnsafeCell::new(None),
            small: Buffers::new(),
            large: Buffers::new(),
            rings: Rings::new(),
            features: AtomicU64::new(0),
            previous: UnsafeCell::new(ptr::null_mut()),
            next: UnsafeCell::new(ptr::null_mut()),
        };
        Ok(KBox::new(cx, session)?.into_raw())
    }

    /// The last reference of the operating system is gone: closes what is open and frees the session. Passive.
    ///
    /// # Safety
    /// `this` came from [`BoundDevice::session`], no request of it is in flight, and it is not used again.
    #[cfg_attr(kp_driver, optimize(size))]
    pub unsafe fn release(this: NonNull<Self>, cx: &mut Passive) {
        // SAFETY: the caller's promise: alive until the end of this function.
        let session = unsafe { this.as_ref() };
        // A session that a dead call is still inside stays, with its place in the list: removal sees it there.
        if !session.tear_down(cx) {
            crate::log::parts(&["a session of ", P::TABLE.name, " is leaked: its call panicked"]);
            return;
        }
        let device = session.device.clone();
        // SAFETY: it was inserted by `BoundDevice::session` and is taken out once, here.
        if unsafe { device.sessions.remove(cx, this) }.is_err() {
            return;
        }
        device.handles.fetch_sub(1, AcqRel);
        // SAFETY: it came from a KBox, and nobody has its address any more: not the list, not the caller.
        drop(unsafe { KBox::from_raw(this) });
    }

    /// The last handle is closed, but requests may be under way, and [`release`](Self::release) comes after them: ends them, and closes
    /// what is open. For kernels that tell the two apart. Idempotent. Passive.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn end(&self, cx: &mut Passive) {
        self.tear_down(cx);
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.life() == Life::Open
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.life(), Life::Closing | Life::Closed)
    }

    /// What its waits and drains wait on, for a port's own poll. Alive until [`release`](Self::release).
    pub fn wait_queue(&self) -> *mut RawWaitQueue {
        self.cancel.queue.raw()
    }

    pub(super) fn calls_inside(&self) -> u32 {
        self.gate.inside()
    }

    pub(super) fn cancellation(&self) -> &Cancellation {
        &self.cancel
    }

    #[inline]
    pub(super) fn features(&self) -> u64 {
        self.features.load(Relaxed)
    }

    fn life(&self) -> Life {
        match self.life.load(Acquire) {
            0 => Life::Fresh,
            1 => Life::Open,
            2 => Life::Closing,
            _ => Life::Closed,
        }
    }

    fn set_life(&self, life: Life) {
        self.life.store(life as u32, Release);
    }

    /// Why a request that needs an open session is not served.
    #[cold]
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    pub(super) fn refusal_status(&self) -> Status {
        if kernel::poisoned() {
            Status::POISONED
        } else if self.device.state() == state::GONE {
            Status::DEVICE_GONE
        } else if self.life() == Life::Fresh && !self.cancel.is_closing() {
            Status::NOT_OPEN
        } else {
            Status::CLOSED
        }
    }

    /// What a message with so many bytes each way runs in.
    #[inline(always)]
    pub(super) fn buffers(&self, in_len: usize, out_len: usize) -> AnyBuffers<'_> {
        if is_small(in_len, out_len) { self.small.any() } else { self.large.any() }
    }

    /// Whether every further message of this session is refused: its gate is shut, and the device gone, before its life says so.
    #[cold]
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    pub(super) fn is_ending(&self) -> bool {
        self.cancel.is_closing() || self.device.state() == state::GONE || kernel::poisoned()
    }

    /// An error that says there is no interrupt, as the app shall see it: a session that closes disables its own.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    pub(super) fn disabled_status(&self, error: Error) -> Error {
        let disabled = [Status::NOT_ENABLED, Status::INT_DISABLED, Status::INTERRUPT_OWNED].contains(&error.status);
        if disabled && !self.is_open() { self.refusal_status().into() } else { error }
    }

    /// Goes inside: from here to the pass's drop the plugin and the session's value live.
    #[inline]
    pub(super) fn enter(&self, nowait: bool) -> Result<Pass<'_>> {
        self.gate.enter(&self.cancel.queue).or_else(|refused| self.enter_later(refused, nowait))
    }

    /// The gate lets nobody in: for a while, or why not.
    #[cfg_attr(kp_driver, optimize(size))]
    #[cold]
    #[inline(never)]
    fn enter_later(&self, mut refused: Refused, nowait: bool) -> Result<Pass<'_>> {
        loop {
            match refused {
                Refused::Shut => return Err(self.refusal_status().into()),
                Refused::Full => return Err(Status::TOO_MANY_CALLS.into()),
                // The device is at work again no sooner than the gate is open.
                Refused::Paused => self.device.awake(nowait)?,
            }
            match self.gate.enter(&self.cancel.queue) {
                Ok(pass) => return Ok(pass),
                Err(again) => refused = again,
            }
        }
    }

    /// OPEN, after the interface was found to fit.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn open(&self, cx: &mut Passive, data: &[u8], features: u64) -> Result<u64> {
        loop {
            self.device.awake(false)?;
            let opened = self.control.with_killable(cx, |cx| {
                // A pause that has begun since has found this session's gate shut, and waits for nobody in it.
                if self.device.state() == state::SUSPENDED { None } else { Some(self.open_in_turn(cx, data, features)) }
            })?;
            if let Some(opened) = opened {
                return opened;
            }
        }
    }

    /// Under `control`.
    #[cfg_attr(kp_driver, optimize(size))]
    fn open_in_turn(&self, cx: &mut Passive, data: &[u8], features: u64) -> Result<u64> {
        match self.life() {
            Life::Fresh => {}
            Life::Open => return Err(Status::ALREADY_OPEN.into()),
            Life::Closing | Life::Closed => return Err(self.refusal_status().into()),
        }
        if self.device.open_sessions.fetch_add(1, AcqRel) >= limits::MAX_SESSIONS {
            self.device.open_sessions.fetch_sub(1, AcqRel);
            return Err(Status::TOO_MANY_SESSIONS.into());
        }
        self.open_plugin(cx, data, features).inspect_err(|_| {
            self.device.open_sessions.fetch_sub(1, AcqRel);
        })
    }

    /// Runs the plugin's `open`, under `control`: removal waits for that lock before it drops the plugin.
    #[cfg_attr(kp_driver, optimize(size))]
    fn open_plugin(&self, cx: &mut Passive, data: &[u8], features: u64) -> Result<u64> {
        if self.device.state() == state::GONE {
            return Err(Status::DEVICE_GONE.into());
        }
        let Some(open) = P::TABLE.open else { return Err(TransportStatus::UNKNOWN_REQUEST.status().into()) };
        self.small.make(cx)?;
        // SAFETY: removal has not passed this session's `control`, whose turn this is.
        let plugin = unsafe { self.device.plugin() };
        let session = open(plugin, cx, &self.caller, data).map_err(|error| self.sanitize_error(error))?;
        if self.cancel.is_closing() {
            if let Some(close) = P::TABLE.close {
                cx.undisturbed(|cx| close(plugin, cx, session));
            }
            return Err(self.refusal_status().into());
        }
        // SAFETY: the gate is shut and nobody is inside: nobody reads.
        unsafe { *self.session.get() = Some(session) };
        self.features.store(features, Relaxed);
        self.set_life(Life::Open);
        self.gate.open();
        Ok(self.device.new_session_number())
    }

    /// A message, whichever way it came: checked by the plugin's `dispatch`, its bytes the kernel's own.
    #[inline]
    pub(super) fn call<'m>(
        &self,
        cx: &mut Passive,
        nowait: bool,
        message: Message<'m>,
        reply: &mut Reply<'m>,
    ) -> Result<()> {
        self.inside(cx, nowait, |plugin, cx, session| Self::dispatch(plugin, cx, session, message, reply))
    }

    /// What the plugin makes of a message.
    #[inline(always)]
    pub(super) fn dispatch<'m>(
        plugin: &P,
        cx: &mut Passive,
        session: &P::Session,
        message: Message<'m>,
        reply: &mut Reply<'m>,
    ) -> Result<()> {
        let Some(call) = P::TABLE.call else { return Err(Status::UNKNOWN_MESSAGE.into()) };
        call(plugin, cx, session, message, reply)
    }

    /// Runs `f` inside the gate, when the device is awake.
    #[inline(always)]
    pub(super) fn inside(
        &self,
        cx: &mut Passive,
        nowait: bool,
        f: impl FnOnce(&P, &mut Passive, &P::Session) -> Result<()>,
    ) -> Result<()> {
        if !self.device.is_awake() {
            self.wait_awake(nowait)?;
        }
        let _pass = self.enter(nowait)?;
        // SAFETY: inside the gate.
        let plugin = unsafe { self.device.plugin() };
        // SAFETY: inside the gate.
        let session = unsafe { self.value() };
        f(plugin, cx, session)
    }

    /// The device is not at work. A session that is not open does not wait for it.
    #[cold]
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn wait_awake(&self, nowait: bool) -> Result<()> {
        if self.is_open() { self.device.awake(nowait) } else { Err(self.refusal_status().into()) }
    }

    /// The plugin's session value.
    ///
    /// # Safety
    /// The caller is inside the gate.
    #[inline]
    pub(super) unsafe fn value(&self) -> &P::Session {
        // SAFETY: inside the gate nobody writes.
        match unsafe { &*self.session.get() } {
            Some(session) => session,
            // SAFETY: the invariant of the field.
            None => unsafe { core::hint::unreachable_unchecked() },
        }
    }

    /// CLOSE. The second caller waits for the first.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn close(&self, cx: &mut Passive) -> Result<()> {
        if self.life() == Life::Closed && self.device.state() != state::GONE {
            return Err(Status::CLOSED.into());
        }
        if cx.undisturbed(|cx| self.tear_down(cx)) { Ok(()) } else { Err(Status::POISONED.into()) }
    }

    /// The one order of tear-down: shut the gate, wake everybody, disable the interrupt if it is this session's, wait for the
    /// calls, close. Idempotent; a second caller waits for the first. False: the plugin panicked, and a call is still inside; the
    /// session stays as it is for good.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn tear_down(&self, cx: &mut Passive) -> bool {
        self.gate.shut();
        self.cancel.close();
        self.waker.wake(&self.cancel);
        loop {
            // Nothing is switched off, and nothing of the plugin's runs, at a device that is being reset.
            self.device.wait_for_reset();
            let torn = self.control.with(cx, |cx| (!self.device.is_resetting()).then(|| self.tear_down_in_turn(cx)));
            match torn {
                Ok(None) => {}
                Ok(Some(torn)) => return torn,
                Err(OwnerDied) => return false,
            }
        }
    }

    /// Under `control`.
    #[cfg_attr(kp_driver, optimize(size))]
    fn tear_down_in_turn(&self, cx: &mut Passive) -> bool {
        self.gate.shut(); // again: an OPEN, or the end of a reset, may have opened it since
        match self.life() {
            Life::Open => {}
            Life::Closing => return false, // an earlier tear-down has left it so
            Life::Fresh | Life::Closed => {
                self.set_life(Life::Closed);
                return true;
            }
        }
        self.set_life(Life::Closing);
        self.waker.wake(&self.cancel);
        let bound: &DeviceRecord<P> = &self.device;
        // The second look is for an INT_ENABLE that was under way at the first: it is over when the gate is drained.
        let disabled = self.close_interrupt(cx, bound).is_ok();
        self.rings.revoke();
        let drained = self.gate.drain(&self.cancel.queue, FOREVER);
        if !drained || !disabled || self.close_interrupt(cx, bound).is_err() {
            return false;
        }
        self.close_plugin(cx);
        self.device.open_sessions.fetch_sub(1, AcqRel);
        self.set_life(Life::Closed);
        self.waker.wake(&self.cancel);
        true
    }

    /// The device is not at work for a while: calls are kept out, and whoever opens, closes or is inside is waited for, until the clock
    /// shows `until`, in ns. False: somebody is there still.
    #[cfg_attr(kp_driver, optimize(size))]
    fn pause(&self, cx: &mut Passive, until: u64) -> bool {
        let paused = self.control.with_until(cx, until, |_| self.gate.pause());
        paused.is_ok() && self.gate.drain(&self.cancel.queue, until)
    }

    /// The device is at work again.
    #[cfg_attr(kp_driver, optimize(size))]
    fn go_on(&self, cx: &mut Passive) {
        self.cancel.resume();
        let _ = self.control.with(cx, |_| self.gate.go_on());
    }

    /// Disables the interrupt if it is this session's.
    #[cfg_attr(kp_driver, optimize(size))]
    fn close_interrupt(&self, cx: &mut Passive, bound: &DeviceRecord<P>) -> Result<(), OwnerDied> {
        bound.interrupts().map_or(Ok(()), |interrupts| interrupts.session_closes(cx, bound, self))
    }

    /// Runs the plugin's `close`. Under `control`, the gate drained.
    #[cfg_attr(kp_driver, optimize(size))]
    fn close_plugin(&self, cx: &mut Passive) {
        // SAFETY: the gate is shut and drained, and `control` is held: nobody else has a reference.
        let Some(session) = (unsafe { (*self.session.get()).take() }) else { return };
        if kernel::poisoned() {
            drop(session);
        } else if let Some(close) = P::TABLE.close {
            // SAFETY: removal drops the plugin only after this session's tear-down.
            close(unsafe { self.device.plugin() }, cx, session);
        }
    }
}

impl<P: Plugin> Session<P> {
    /// The links, to the one before and the one behind. Under the list's turn.
    fn links(&self) -> (*mut Session<P>, *mut Session<P>) {
        // SAFETY: the links are used by the list alone, under its turn.
        let previous = unsafe { *self.previous.get() };
        // SAFETY: as above.
        (previous, unsafe { *self.next.get() })
    }

    /// Under the list's turn.
    fn link_next(&self, next: *mut Session<P>) {
        // SAFETY: the links are used by the list alone, under its turn.
        unsafe { *self.next.get() = next }
    }

    /// Under the list's turn.
    fn link_previous(&self, previous: *mut Session<P>) {
        // SAFETY: as above.
        unsafe { *self.previous.get() = previous }
    }
}

/// The sessions of one device, open or not: a list through their own links.
pub(super) struct SessionList<P: Plugin> {
    /// RobustGuard by whoever uses the links.
    lock: RobustMutex,
    first: UnsafeCell<*mut Session<P>>,
}
// SAFETY: `first` and the links are used under the turn.
unsafe impl<P: Plugin> Sync for SessionList<P> {}
// SAFETY: as above.
unsafe impl<P: Plugin> Send for SessionList<P> {}

impl<P: Plugin> SessionList<P> {
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { lock: RobustMutex::new(cx)?, first: UnsafeCell::new(ptr::null_mut()) })
    }

    /// # Safety
    /// `session` is alive, in no list, and is removed before it is freed.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn insert(&self, cx: &mut Passive, session: NonNull<Session<P>>) -> Result<(), OwnerDied> {
        self.lock.with(cx, |_| {
            let first = self.first();
            // SAFETY: alive.
            unsafe { session.as_ref() }.link_next(first);
            if let Some(first) = NonNull::new(first) {
                // SAFETY: what is linked is alive.
                unsafe { first.as_ref() }.link_previous(session.as_ptr());
            }
            self.set_first(session.as_ptr());
        })
    }

    /// # Safety
    /// `session` is in this list.
    #[cfg_attr(kp_driver, optimize(size))]
    unsafe fn remove(&self, cx: &mut Passive, session: NonNull<Session<P>>) -> Result<(), OwnerDied> {
        self.lock.with(cx, |_| {
            // SAFETY: what is linked is alive.
            let old = unsafe { session.as_ref() };
            let (previous, next) = old.links();
            match NonNull::new(previous) {
                // SAFETY: what is linked is alive.
                Some(previous) => unsafe { previous.as_ref() }.link_next(next),
                None => self.set_first(next),
            }
            if let Some(next) = NonNull::new(next) {
                // SAFETY: as above.
                unsafe { next.as_ref() }.link_previous(previous);
            }
        })
    }

    /// Tears each of them down. False: one of them stays for good.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn close_all(&self, cx: &mut Passive) -> bool {
        self.each(cx, Session::tear_down)
    }

    /// Keeps calls out of each, and waits for those inside until the clock shows `until`, in ns. False: somebody is inside still; if that was
    /// [`FOREVER`], it is a call that has panicked.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn pause_all(&self, cx: &mut Passive, until: u64) -> bool {
        self.each(cx, |session, cx| session.pause(cx, until))
    }

    /// Ends the sleeps of calls, until they go on.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end_sleeps(&self, cx: &mut Passive) {
        self.each(cx, |session, _| {
            session.cancel.suspend();
            true
        });
    }

    /// Waits for each that closes just now.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn wait_for_closes(&self, cx: &mut Passive) {
        self.each(cx, |session, cx| session.control.with(cx, |_| ()).is_ok());
    }

    /// Lets calls go on in each.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn go_on_all(&self, cx: &mut Passive) {
        self.each(cx, |session, cx| {
            session.go_on(cx);
            true
        });
    }

    /// Runs `f` for each of them, in turn. Whether it answered true each time.
    #[cfg_attr(kp_driver, optimize(size))]
    fn each(&self, cx: &mut Passive, f: impl Fn(&Session<P>, &mut Passive) -> bool) -> bool {
        let all = self.lock.with(cx, |cx| {
            let mut all = true;
            let mut at = self.first();
            while let Some(session) = NonNull::new(at) {
                // SAFETY: what is linked is alive, and stays linked while the turn lasts.
                let session = unsafe { session.as_ref() };
                all &= f(session, cx);
                at = session.links().1;
            }
            all
        });
        matches!(all, Ok(true))
    }

    /// Under the turn.
    fn first(&self) -> *mut Session<P> {
        // SAFETY: used under the turn alone.
        unsafe { *self.first.get() }
    }

    /// Under the turn.
    fn set_first(&self, first: *mut Session<P>) {
        // SAFETY: used under the turn alone.
        unsafe { *self.first.get() = first }
    }
}
