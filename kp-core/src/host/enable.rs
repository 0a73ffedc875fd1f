//! Enabling and disabling the interrupt, as values that undo themselves.
//!
//! Each step of INT_ENABLE makes a value out of the one before, and a value's drop undoes its step. A step that fails drops what there is, so
//! what was done is undone, in the reverse order. INT_DISABLE and a session's close take up the last value, and drop it. So does `own` with an
//! interrupt of the plugin's own, which no session enables.
//!
//! | value | the step that makes it | its drop |
//! |---|---|---|
//! | [`Prepared`] | `irq_prepare`; the device is not reset from now on | `irq_release` |
//! | [`WithContext`] | the plugin's `int_enable` | the plugin's `int_disable` |
//! | [`Begun`] | owner and counters are set | what nobody has taken is lost; no owner any more. Not of the plugin's own: who listens does still |
//! | [`Connected`] | `irq_connect`; vectors that the plugin has masked by now are | vectors that it has masked are unmasked; `irq_disconnect`; deferrals that no DPC has seen are run |
//! | [`Armed`] | the plugin's `int_arm` | the plugin's `int_disarm` |
use super::{
    IrqEntry, IrqKinds, IrqRequest, OwnerDied,
    device::DeviceRecord,
    interrupt::{Counts, Interrupts},
    isr::{dpc, isr, run_pending},
    kernel,
    notifications::Owner,
    session::{Inside, Session},
};
use crate::{Enabling, Error, Granted, IntTable, IrqKind, Passive, Plugin, Result, Status};
use core::mem::forget;
use kp_abi::{
    Counters,
    request::{ANY_VECTOR, kind},
};

/// Who enables the interrupt.
trait Asker<P: Plugin> {
    /// The session that will own it.
    fn session(&self) -> Option<&Session<P>>;
    /// What the plugin's `int_enable` gets of it.
    fn value(&self) -> Option<&P::Session>;
    /// What it is told of an error of the plugin's.
    fn error(&self, error: Error) -> Error;
}

impl<P: Plugin> Asker<P> for Inside<'_, P> {
    fn session(&self) -> Option<&Session<P>> {
        Some(self.session)
    }
    fn value(&self) -> Option<&P::Session> {
        Some(Inside::value(self))
    }
    fn error(&self, error: Error) -> Error {
        self.session.sanitize_error(error)
    }
}

/// The plugin, by its table.
struct Itself;

impl<P: Plugin> Asker<P> for Itself {
    fn session(&self) -> Option<&Session<P>> {
        None
    }
    fn value(&self) -> Option<&P::Session> {
        None
    }
    fn error(&self, error: Error) -> Error {
        error
    }
}

/// What INT_ENABLE got.
pub(super) struct Enabled {
    pub(super) kind: IrqKind,
    pub(super) count: u32,
    pub(super) generation: u64,
}

/// INT_ENABLE.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn enable<P: Plugin>(
    cx: &mut Passive,
    interrupts: &Interrupts<P>,
    inside: &Inside<'_, P>,
    wanted: IrqRequest,
    data: &[u8],
) -> Result<Enabled> {
    let session = inside.session;
    let enabled = interrupts.lock.with_killable(cx, |cx| {
        match interrupts.check_owner(cx, &session.context.waker) {
            Ok(()) => return Err(Status::ALREADY_ENABLED.into()),
            Err(error) if error == Status::INTERRUPT_OWNED => return Err(error),
            Err(_) => {}
        }
        steps(cx, interrupts, inside, wanted, data)
    });
    enabled?
}

/// The steps of INT_ENABLE. Under the interrupt's lock.
#[cfg_attr(kp_driver, optimize(size))]
fn steps<P: Plugin>(
    cx: &mut Passive,
    interrupts: &Interrupts<P>,
    inside: &Inside<'_, P>,
    wanted: IrqRequest,
    data: &[u8],
) -> Result<Enabled> {
    let session = inside.session;
    let Some(table) = &P::TABLE.int else { return Err(Status::NO_INTERRUPT.into()) };
    let site = Site { cx, device: &session.device, interrupts, plugin: inside.plugin(), table, is_left: false };
    let (prepared, granted) = Prepared::new(site, wanted)?;
    // A wait may have seen it enabled.
    all_but_first(prepared, inside, granted, data).inspect_err(|_| session.context.waker.wake())
}

/// The steps after the first.
#[cfg_attr(kp_driver, optimize(size))]
fn all_but_first<P: Plugin, A: Asker<P>>(
    prepared: Prepared<'_, P>,
    asker: &A,
    granted: Granted,
    data: &[u8],
) -> Result<Enabled> {
    let counts = Counts::new(prepared.0.cx, granted.count)?;
    let context = prepared.context(asker, granted, data)?;
    let (begun, generation) = context.begin(asker, granted, counts);
    let armed = begun.connect()?.arm(asker, granted)?;
    if let Some(session) = asker.session()
        && session.context.waker.is_closing()
    {
        drop(armed);
        return Err(session.refusal_status().into());
    }
    forget(armed); // enabled, until `Armed::taken_up`
    Ok(Enabled { kind: granted.kind, count: granted.count, generation })
}

/// The steps for an interrupt of the plugin's own, of the best kind that there is. Under the interrupt's lock.
///
/// # Safety
/// The interrupt is not enabled, and the plugin is not taken meanwhile.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) unsafe fn enable_own<P: Plugin>(
    cx: &mut Passive,
    device: &DeviceRecord<P>,
    interrupts: &Interrupts<P>,
) -> Result<()> {
    let Some(table) = &P::TABLE.int else { return Err(Status::NO_INTERRUPT.into()) };
    let (min, max) = P::TABLE.vectors;
    let wanted = IrqRequest { kinds: IrqKinds::from_bits(kind::ANY), min, max };
    // SAFETY: by the caller's promise.
    let plugin = unsafe { device.plugin() };
    let (prepared, granted) = Prepared::new(Site { cx, device, interrupts, plugin, table, is_left: false }, wanted)?;
    // Who listens has been told of vectors that there may not be any more.
    interrupts.keep_listener(prepared.0.cx, granted);
    all_but_first(prepared, &Itself, granted, &[]).map(|_| ())
}

/// Undoes [`enable_own`]. Under the interrupt's lock.
///
/// # Safety
/// The interrupt is enabled, by `enable_own`.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) unsafe fn disable_own<P: Plugin>(cx: &mut Passive, device: &DeviceRecord<P>, interrupts: &Interrupts<P>) {
    let Some(table) = &P::TABLE.int else { return };
    // SAFETY: enabled: the plugin is there until this has come.
    let plugin = unsafe { device.plugin() };
    let site = Site { cx, device, interrupts, plugin, table, is_left: false };
    // SAFETY: the enabling whose last value was forgotten; the lock is held.
    drop(unsafe { Armed::taken_up(site) });
}

/// INT_DISABLE. The caller is inside the session's gate. The enabling's number, and the final counters.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn disable<P: Plugin>(
    cx: &mut Passive,
    interrupts: &Interrupts<P>,
    session: &Session<P>,
) -> Result<(u64, Counters)> {
    let disabled = interrupts.lock.with_killable(cx, |cx| {
        interrupts.check_owner(cx, &session.context.waker)?;
        disable_locked(cx, interrupts, session);
        interrupts.counters(cx, ANY_VECTOR)
    });
    disabled?
}

/// A session closes: disables the interrupt if it is its own, and listens no more to one of the plugin's. A session that does not own it does not
/// wait for the lock.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn session_closes<P: Plugin>(
    cx: &mut Passive,
    interrupts: &Interrupts<P>,
    session: &Session<P>,
) -> Result<(), OwnerDied> {
    if P::TABLE.own_interrupt {
        interrupts.end_listening_of(cx, &session.context.waker);
        return Ok(());
    }
    if interrupts.check_owner(cx, &session.context.waker).is_err() {
        return Ok(());
    }
    interrupts.lock.with(cx, |cx| {
        if interrupts.check_owner(cx, &session.context.waker).is_ok() {
            disable_locked(cx, interrupts, session);
        }
    })
}

/// The plugin panicked. If that was while it enabled or disabled, the lock's owner is dead, and the interrupt perhaps still connected.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn force_disconnect<P: Plugin>(cx: &mut Passive, interrupts: &Interrupts<P>) {
    if interrupts.lock.with(cx, |_| ()).is_err() {
        // SAFETY: the lock's owner is dead, so nobody else disconnects; disconnecting what is not connected does nothing.
        unsafe { kernel::irq_disconnect(interrupts.device) };
        kernel::irq_release(interrupts.device);
    }
}

/// Waits end, then the enabling is undone. Under the interrupt's lock, enabled by this session.
#[cfg_attr(kp_driver, optimize(size))]
fn disable_locked<P: Plugin>(cx: &mut Passive, interrupts: &Interrupts<P>, session: &Session<P>) {
    interrupts.notifications.with(cx, |notifications, _| notifications.armed = false);
    session.context.waker.wake();
    let Some(table) = &P::TABLE.int else { return };
    // SAFETY: enabled: the plugin is there until every session's tear-down, of which this is a part, or comes before.
    let plugin = unsafe { session.device.plugin() };
    let site = Site { cx, device: &session.device, interrupts, plugin, table, is_left: false };
    // SAFETY: this session's enabling, whose last value was forgotten; the lock is held.
    drop(unsafe { Armed::taken_up(site) });
}

/// Where the steps happen. The interrupt's lock is held as long as this is there.
struct Site<'a, P: Plugin> {
    cx: &'a mut Passive,
    device: &'a DeviceRecord<P>,
    interrupts: &'a Interrupts<P>,
    plugin: &'a P,
    table: &'static IntTable<P>,
    /// Other code runs: the plugin's, or the port's. If it unwinds, which only the simulator lets it, nothing is undone: on a kernel the thread
    /// would be dead now, and a tear-down would find what it has left.
    is_left: bool,
}

impl<P: Plugin> Site<'_, P> {
    /// Runs other code.
    #[inline(always)]
    fn leave<R>(&mut self, f: impl FnOnce(&mut Passive) -> R) -> R {
        self.is_left = true;
        let result = f(self.cx);
        self.is_left = false;
        result
    }
}

/// The device has vectors, and cannot interrupt yet.
struct Prepared<'a, P: Plugin>(Site<'a, P>);

impl<'a, P: Plugin> Prepared<'a, P> {
    #[cfg_attr(kp_driver, optimize(size))]
    fn new(site: Site<'a, P>, wanted: IrqRequest) -> Result<(Self, Granted)> {
        if let Some(link) = site.device.link() {
            link.begin_interrupt(site.cx);
        }
        let prepared = kernel::irq_prepare(site.interrupts.device, wanted);
        if let Some(link) = site.device.link() {
            match &prepared {
                Ok(vectors) => link.masks().prepared(site.cx, vectors),
                Err(_) => link.masks().end(site.cx),
            }
        }
        let vectors = prepared?;
        Ok((Self(site), Granted { kind: vectors.kind, count: vectors.count }))
    }

    /// Has the plugin make its context.
    #[cfg_attr(kp_driver, optimize(size))]
    fn context(mut self, asker: &impl Asker<P>, granted: Granted, data: &[u8]) -> Result<WithContext<'a, P>> {
        let Some(enable) = self.0.table.enable else { return Err(Status::NO_INTERRUPT.into()) };
        let enabling = Enabling { session: asker.value(), data, kind: granted.kind, count: granted.count };
        let plugin = self.0.plugin;
        let made = self.0.leave(|cx| enable(plugin, cx, enabling));
        let context = made.map_err(|error| asker.error(error))?;
        // SAFETY: the lock is held, and nothing is connected. There was no context.
        unsafe { self.0.interrupts.replace_context(Some(context)) };
        Ok(WithContext(self))
    }
}

impl<P: Plugin> Drop for Prepared<'_, P> {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        if self.0.is_left {
            return;
        }
        kernel::irq_release(self.0.interrupts.device);
        if let Some(link) = self.0.device.link() {
            link.masks().end(self.0.cx);
        }
    }
}

/// The callbacks have something to share.
struct WithContext<'a, P: Plugin>(Prepared<'a, P>);

impl<'a, P: Plugin> WithContext<'a, P> {
    /// From now on the enabling counts, and has an owner if a session has asked. Its number.
    #[cfg_attr(kp_driver, optimize(size))]
    fn begin(self, asker: &impl Asker<P>, granted: Granted, counts: Counts) -> (Begun<'a, P>, u64) {
        let interrupts = self.0.0.interrupts;
        let session = asker.session();
        // SAFETY: the session's tear-down waits for the disconnecting, and so for the end of its enabling, before the session goes.
        let owner = session.map(|session| unsafe { Owner::new(&session.context.waker) });
        // SAFETY: the lock is held, and nothing is connected.
        let generation = unsafe { interrupts.begin(self.0.0.cx, owner, granted.kind, counts) };
        if let Some(session) = session {
            // SAFETY: the session's page lives as long as the session, which outlives `Interrupts::end` (see the owner).
            unsafe { interrupts.counter_page.attach(session.kernel_page(), generation, granted.count as usize) };
            // SAFETY: as `begin`; the owner's.
            unsafe { interrupts.wake_at_irql(&session.context.waker) };
        }
        (Begun(self), generation)
    }
}

impl<P: Plugin> Drop for WithContext<'_, P> {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        let site = &mut self.0.0;
        if site.is_left {
            return;
        }
        // SAFETY: the lock is held, and nothing is connected.
        let context = unsafe { site.interrupts.replace_context(None) };
        if let (Some(context), Some(disable), false) = (context, site.table.disable, kernel::poisoned()) {
            let plugin = site.plugin;
            site.leave(|cx| cx.undisturbed(|cx| disable(plugin, cx, context)));
        }
    }
}

/// The enabling has an owner, and counts.
struct Begun<'a, P: Plugin>(WithContext<'a, P>);

impl<'a, P: Plugin> Begun<'a, P> {
    /// ISR and DPC may run from now on.
    #[cfg_attr(kp_driver, optimize(size))]
    fn connect(mut self) -> Result<Connected<'a, P>> {
        let site = &mut self.0.0.0;
        let (device, entry) =
            (site.interrupts.device, IrqEntry { cookie: site.device.as_cookie(), isr: isr::<P>, dpc: dpc::<P> });
        // SAFETY: vectors are prepared; context and counts are in place until `irq_disconnect` has returned.
        site.leave(|_| unsafe { kernel::irq_connect(device, entry) })?;
        if let Some(link) = site.device.link() {
            link.masks().connected(site.cx);
        }
        Ok(Connected(self))
    }
}

impl<P: Plugin> Drop for Begun<'_, P> {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        let site = &mut self.0.0.0;
        if !site.is_left {
            // SAFETY: the lock is held, and nothing is connected.
            unsafe { site.interrupts.end(site.cx) };
        }
    }
}

/// ISR and DPC may run.
struct Connected<'a, P: Plugin>(Begun<'a, P>);

impl<'a, P: Plugin> Connected<'a, P> {
    /// Has the plugin let its device interrupt.
    #[cfg_attr(kp_driver, optimize(size))]
    fn arm(mut self, asker: &impl Asker<P>, granted: Granted) -> Result<Armed<'a, P>> {
        let site = self.site();
        let (plugin, interrupts) = (site.plugin, site.interrupts);
        // SAFETY: connected.
        if let (Some(arm), Some(context)) = (site.table.arm, unsafe { interrupts.context() }) {
            let armed = site.leave(|cx| arm(plugin, cx, context, granted));
            armed.map_err(|error| asker.error(error))?;
        }
        Ok(Armed(self))
    }

    fn site(&mut self) -> &mut Site<'a, P> {
        &mut self.0.0.0.0
    }
}

impl<P: Plugin> Drop for Connected<'_, P> {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        let site = self.site();
        if site.is_left {
            return;
        }
        let (device, interrupts) = (site.device, site.interrupts);
        site.leave(|cx| {
            if let Some(link) = device.link() {
                link.masks().disconnecting(cx);
            }
            // SAFETY: connected, and the lock is held.
            unsafe { kernel::irq_disconnect(interrupts.device) };
            for vector in 0..interrupts.count() {
                // SAFETY: disconnected just now, and the lock is held.
                unsafe { run_pending(cx, device, interrupts, vector) };
            }
        });
    }
}

/// The device may interrupt.
struct Armed<'a, P: Plugin>(Connected<'a, P>);

impl<'a, P: Plugin> Armed<'a, P> {
    /// What an earlier INT_ENABLE has made.
    ///
    /// # Safety
    /// The interrupt is enabled, and its lock is held: that value was forgotten, and is taken up once.
    unsafe fn taken_up(site: Site<'a, P>) -> Self {
        Self(Connected(Begun(WithContext(Prepared(site)))))
    }
}

impl<P: Plugin> Drop for Armed<'_, P> {
    /// Still connected: lets the plugin quiet its device, if that is there and at work. One that sleeps is quiet: `event` has seen to it.
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        let site = self.0.site();
        let (plugin, interrupts, state) = (site.plugin, site.interrupts, &site.device.state);
        if state.is_absent() || state.ignores_irqs() || kernel::poisoned() {
            return;
        }
        // SAFETY: connected, and the lock is held.
        if let (Some(disarm), Some(context)) = (site.table.disarm, unsafe { interrupts.context() }) {
            site.leave(|cx| cx.undisturbed(|cx| disarm(plugin, cx, context)));
        }
    }
}
