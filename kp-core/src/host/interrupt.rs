//! A device's interrupt: enabling and disabling in two phases each, ISR and DPC.
use super::{
    IrqEntry, OwnerDied, RobustMutex,
    device::{BoundDevice, DeviceRecord},
    kernel,
    notifications::{Notifications, Notified, VectorCounters},
    pending::Pending,
    ring::CounterPage,
    session::Session,
};
use crate::{
    AtMost, Dispatch, Enabling, Error, Granted, IntTable, IrqKind, Irql, KVec, Passive, Plugin, Result, Source,
    SpinLock, Status, Verdict,
};
use core::{
    cell::UnsafeCell,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::*},
};
use kp_abi::{
    Counters,
    request::{ANY_VECTOR, kind},
};

/// ISR runs of one vector, without a DPC run between them, after which it is looked at; and the same again.
const STORM_RUNS: u32 = 100_000;
/// As many runs again within this time, in ns, are a storm: nothing real interrupts that often.
const STORM_NS: u64 = 5_000_000_000;
/// `Vector::unserved` after a storm, and perhaps some more.
const GIVEN_UP: u32 = 1 << 31;
/// Runs of a line after a storm, after which it is masked once more: the device may assert it by now. Far fewer than the kernel needs to see
/// that nobody handles it.
const RETRY_RUNS: u64 = 10_000;

/// What ISR and DPC of one vector count. Each field has one writer at a time, but for `pending`.
#[derive(Default)]
pub(super) struct Vector {
    pending: Pending,
    pub(super) received: AtomicU64,
    pub(super) spurious: AtomicU64,
    pub(super) deferred: AtomicU64,
    pub(super) dpc_runs: AtomicU64,
    /// ISR runs since the last DPC run that claimed or deferred.
    unserved: AtomicU32,
    /// What a DPC run makes of `unserved`: 0, and `GIVEN_UP` after a storm.
    unserved_least: AtomicU32,
    unserved_since: AtomicU64,
}

impl Vector {
    /// What the ISR counts, in the order of [`Counters`].
    #[inline(always)]
    fn of_isr(&self) -> [&AtomicU64; 3] {
        [&self.received, &self.spurious, &self.deferred]
    }
}

/// One more, where there is one writer: no locked instruction.
#[inline]
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Release);
}

/// A device's interrupt.
pub(crate) struct Interrupts<P: Plugin> {
    /// RobustGuard by whoever enables or disables.
    control: RobustMutex,
    /// What the interrupt callbacks share. INVARIANT: Some, and not written, while connected; written under `control`.
    context: UnsafeCell<Option<P::Interrupt>>,
    /// The notifications's vectors, for ISR and DPC. INVARIANT: `count` of them, in place, while connected.
    vectors: AtomicPtr<Vector>,
    count: AtomicU32,
    is_line: AtomicBool,
    /// The log has a line on a storm of this enabling.
    storm_is_logged: AtomicBool,
    notifications: SpinLock<Notifications<P>, Dispatch>,
    /// Where the owner's app sees the counters.
    counter_page: CounterPage,
}
// SAFETY: the context is Sync, and is written under `control` while nothing is connected.
unsafe impl<P: Plugin> Sync for Interrupts<P> {}

/// What INT_ENABLE asks for.
pub(super) struct Wanted<'a> {
    pub(super) kinds: u32,
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) data: &'a [u8],
}

/// What INT_ENABLE got.
pub(super) struct Enabled {
    pub(super) kind: u32,
    pub(super) count: u32,
    pub(super) generation: u64,
}

impl<P: Plugin> Interrupts<P> {
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self {
            control: RobustMutex::new(cx)?,
            context: UnsafeCell::new(None),
            vectors: AtomicPtr::new(ptr::null_mut()),
            count: AtomicU32::new(0),
            is_line: AtomicBool::new(false),
            storm_is_logged: AtomicBool::new(false),
            notifications: SpinLock::new(cx, Notifications::new())?,
            counter_page: CounterPage::new(),
        })
    }

    /// The plugin's context while connected.
    ///
    /// # Safety
    /// `control` is held, or the caller runs between `irq_connect` and the return of `irq_disconnect`.
    #[inline]
    unsafe fn context(&self) -> Option<&P::Interrupt> {
        // SAFETY: nobody writes then.
        unsafe { (*self.context.get()).as_ref() }
    }

    /// One vector's counts. None: no such vector.
    #[inline]
    fn vector(&self, vector: u32) -> Option<&Vector> {
        if vector >= self.count.load(Relaxed) {
            return None;
        }
        let first = self.vectors.load(Relaxed);
        // SAFETY: by the invariant there are `count` of them.
        let at = unsafe { first.add(vector as usize) };
        // SAFETY: as above; they are shared, and all their fields atomic.
        unsafe { at.as_ref() }
    }

    /// INT_ENABLE. The caller is inside `session`'s gate.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn enable(
        &self,
        cx: &mut Passive,
        bound: &BoundDevice<P>,
        session: &Session<P>,
        wanted: Wanted<'_>,
    ) -> Result<Enabled> {
        let Some(table) = &P::TABLE.int else { return Err(Status::NO_INTERRUPT.into()) };
        let enabled = self.control.with_killable(cx, |cx| {
            match self.notifications.with(cx, |notifications, _| notifications.check_owner(session)) {
                Ok(()) => return Err(Status::ALREADY_ENABLED.into()),
                Err(error) if error == Status::INTERRUPT_OWNED => return Err(error),
                Err(_) => {}
            }
            let vectors = kernel::irq_prepare(bound.id, wanted.kinds, wanted.min, wanted.max)?;
            let enabled = self.enable_prepared(cx, table, bound, session, vectors.kind, vectors.count, wanted.data);
            if enabled.is_err() {
                kernel::irq_release(bound.id);
                session.waker.wake(session.cancellation()); // a wait may have seen it enabled
            }
            enabled
        });
        enabled?
    }

    #[expect(clippy::too_many_arguments, reason = "the second half of `enable`, split where its undoing splits")]
    #[cfg_attr(kp_driver, optimize(size))]
    fn enable_prepared(
        &self,
        cx: &mut Passive,
        table: &IntTable<P>,
        bound: &BoundDevice<P>,
        session: &Session<P>,
        kind: u32,
        count: u32,
        data: &[u8],
    ) -> Result<Enabled> {
        let mut vectors = KVec::with_capacity(cx, count as usize)?;
        let mut per_vector = KVec::with_capacity(cx, count as usize)?;
        for _ in 0..count {
            vectors.push(cx, Vector::default())?;
            per_vector.push(cx, VectorCounters::default())?;
        }
        // SAFETY: the caller of `enable` is inside the gate.
        let plugin = unsafe { bound.plugin() };
        // SAFETY: as above.
        let value = unsafe { session.value() };
        let Some(enable) = table.enable else { return Err(Status::NO_INTERRUPT.into()) };
        let granted = Granted { kind: IrqKind::of(kind), count };
        let enabling = Enabling { session: Some(value), data, kind: granted.kind, count };
        let context = enable(plugin, cx, enabling).map_err(|error| session.sanitize_error(error))?;

        // SAFETY: nothing is connected, and `control` is held.
        unsafe { *self.context.get() = Some(context) };
        let owner = NonNull::from(session);
        let (old, generation) = self.notifications.with(cx, |notifications, _| {
            let old = notifications.start(owner, per_vector, vectors);
            self.vectors.store(notifications.vectors.as_mut_ptr(), Relaxed);
            (old, notifications.generation)
        });
        drop(old);
        // SAFETY: the session's tear-down waits for `disconnect`, and so for `end`, before it lets its page go.
        unsafe { self.counter_page.attach(session.rings.page(), generation, count as usize) };
        self.count.store(count, Relaxed);
        self.is_line.store(kind == kind::LINE, Relaxed);
        self.storm_is_logged.store(false, Relaxed);

        let entry = IrqEntry { cookie: bound.as_cookie(), isr: Self::isr, dpc: Self::dpc };
        // SAFETY: vectors are prepared, context and counts are in place until `irq_disconnect` has returned.
        if let Err(error) = unsafe { kernel::irq_connect(bound.id, entry) } {
            self.clear_owner(cx);
            cx.undisturbed(|cx| self.drop_context(cx, bound));
            return Err(error);
        }
        // SAFETY: connected.
        let armed = match (table.arm, unsafe { self.context() }) {
            (Some(arm), Some(context)) => arm(plugin, cx, context, granted),
            _ => Ok(()),
        };
        if let Err(error) = armed {
            cx.undisturbed(|cx| self.disconnect(cx, bound));
            return Err(session.sanitize_error(error));
        }
        if session.cancellation().is_closing() {
            cx.undisturbed(|cx| {
                self.disarm(cx, bound);
                self.disconnect(cx, bound);
            });
            return Err(session.refusal_status().into());
        }
        Ok(Enabled { kind, count, generation })
    }

    /// INT_DISABLE. The caller is inside `session`'s gate. The final counters.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn disable(
        &self,
        cx: &mut Passive,
        bound: &DeviceRecord<P>,
        session: &Session<P>,
    ) -> Result<(u64, Counters)> {
        let disabled = self.control.with_killable(cx, |cx| {
            self.notifications.with(cx, |notifications, _| notifications.check_owner(session))?;
            cx.undisturbed(|cx| self.disable_locked(cx, bound, session));
            self.notifications
                .with(cx, |notifications, _| Ok((notifications.generation, notifications.counters(ANY_VECTOR)?)))
        });
        disabled?
    }

    /// A session closes: disables the interrupt if it is its own. Who does not own it waits for nobody's turn.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn session_closes(
        &self,
        cx: &mut Passive,
        bound: &DeviceRecord<P>,
        session: &Session<P>,
    ) -> Result<(), OwnerDied> {
        if self.notifications.with(cx, |notifications, _| notifications.check_owner(session).is_err()) {
            return Ok(());
        }
        self.control.with(cx, |cx| {
            if self.notifications.with(cx, |notifications, _| notifications.check_owner(session).is_ok()) {
                self.disable_locked(cx, bound, session);
            }
        })
    }

    /// The one order of disabling. Under `control`, enabled.
    #[cfg_attr(kp_driver, optimize(size))]
    fn disable_locked(&self, cx: &mut Passive, bound: &DeviceRecord<P>, session: &Session<P>) {
        self.notifications.with(cx, |notifications, _| notifications.armed = false);
        session.waker.wake(session.cancellation());
        self.disarm(cx, bound);
        self.disconnect(cx, bound);
        kernel::irq_release(bound.id);
    }

    /// Still connected: lets the plugin quiet its device, if that is there and at work. One that sleeps is quiet: `event` has seen to it.
    #[cfg_attr(kp_driver, optimize(size))]
    fn disarm(&self, cx: &mut Passive, bound: &DeviceRecord<P>) {
        if bound.is_absent() || bound.ignores_irqs() || kernel::poisoned() {
            return;
        }
        let Some(table) = &P::TABLE.int else { return };
        // SAFETY: connected, and `control` is held.
        if let (Some(disarm), Some(context)) = (table.disarm, unsafe { self.context() }) {
            // SAFETY: connected: the plugin is there until every session's tear-down.
            disarm(unsafe { bound.plugin() }, cx, context);
        }
    }

    /// Disconnects, runs what was deferred, and ends the enabling.
    #[cfg_attr(kp_driver, optimize(size))]
    fn disconnect(&self, cx: &mut Passive, bound: &DeviceRecord<P>) {
        // SAFETY: it is connected, and `control` is held.
        unsafe { kernel::irq_disconnect(bound.id) };
        for vector in 0..self.count.load(Relaxed) {
            self.run_pending(cx, bound, vector);
        }
        self.clear_owner(cx);
        self.drop_context(cx, bound);
    }

    /// Deferrals that were counted after the last DPC had looked. No ISR and no DPC runs any more: this one cannot overlap.
    #[cfg_attr(kp_driver, optimize(size))]
    fn run_pending(&self, cx: &mut Passive, bound: &DeviceRecord<P>, vector: u32) {
        let Some(counts) = self.vector(vector) else { return };
        let pending = counts.pending.drain();
        if pending == 0 {
            return;
        }
        let notified = self.notifications.with(cx, |_, cx| self.run_dpc(cx, bound, counts, vector, pending));
        self.notifications.with(cx, |notifications, _| {
            notifications.notify(vector, notified);
            self.counter_page.publish_notifications(vector, || notifications.counts(vector));
        });
    }

    /// No DPC runs any more: the enabling has no owner, and nobody will take what is left.
    #[cfg_attr(kp_driver, optimize(size))]
    fn clear_owner(&self, cx: &mut Passive) {
        self.notifications.with(cx, |notifications, _| {
            notifications.armed = false;
            notifications.discard_pending();
            notifications.owner = None;
            for vector in 0..self.count.load(Relaxed) {
                self.counter_page.publish_notifications(vector, || notifications.counts(vector));
            }
            self.counter_page.detach();
        });
        self.count.store(0, Relaxed);
    }

    /// `int_disable`. Nothing is connected, `control` is held.
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop_context(&self, cx: &mut Passive, bound: &DeviceRecord<P>) {
        // SAFETY: nothing is connected, and `control` is held.
        let Some(context) = (unsafe { (*self.context.get()).take() }) else { return };
        if kernel::poisoned() {
            return;
        }
        if let Some(disable) = P::TABLE.int.as_ref().and_then(|table| table.disable) {
            // SAFETY: the plugin is there until every session's tear-down.
            disable(unsafe { bound.plugin() }, cx, context);
        }
    }

    /// The plugin panicked. If that was while it enabled or disabled, the turn is lost, and the interrupt perhaps still connected.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn force_disconnect(&self, cx: &mut Passive, bound: &DeviceRecord<P>) {
        if self.control.with(cx, |_| ()).is_err() {
            // SAFETY: whoever had the turn is dead, and disconnecting what is not connected does nothing.
            unsafe { kernel::irq_disconnect(bound.id) };
            kernel::irq_release(bound.id);
        }
    }

    /// The entry's ISR.
    ///
    /// # Safety
    /// At Irql, while connected, never twice at once for one vector.
    #[inline]
    pub(super) unsafe fn isr(cookie: *const (), vector: u32) -> bool {
        // SAFETY: the cookie is the record, which outlives the connection.
        let bound = unsafe { &*cookie.cast::<DeviceRecord<P>>() };
        let Some(this) = bound.interrupts() else { return false };
        let Some(table) = &P::TABLE.int else { return false };
        let Some(counts) = this.vector(vector) else { return false };
        if bound.ignores_irqs() {
            return this.source(vector) != Source::Line;
        }
        if (kernel::poisoned() || counts.unserved.load(Relaxed) >= STORM_RUNS)
            && let Some(answer) = this.isr_slow_path(bound, counts, vector)
        {
            return answer;
        }
        // SAFETY: connected.
        let Some(context) = (unsafe { this.context() }) else { return false };
        let source = this.source(vector);
        // SAFETY: connected.
        let plugin = unsafe { bound.plugin() };
        // SAFETY: the caller's promise.
        let mut cx = unsafe { Irql::assume() };
        let Verdict { claimed, deferred } = (table.at_irql)(plugin, &mut cx, context, source);
        if !claimed && !deferred {
            count(&counts.spurious);
            this.counter_page.publish_isr(vector, counts.of_isr());
            return source != Source::Line;
        }
        count(&counts.received);
        counts.unserved.store(counts.unserved.load(Relaxed) + 1, Relaxed);
        if deferred {
            count(&counts.deferred);
        }
        if this.counter_page.is_attached() {
            this.publish_isr(counts, vector);
        }
        if deferred && counts.pending.defer() {
            kernel::dpc_queue(bound.id, vector);
        }
        true
    }

    /// An app looks at what the ISR counts, in its page.
    #[cold]
    #[inline(never)]
    fn publish_isr(&self, counts: &Vector, vector: u32) {
        self.counter_page.publish_isr(vector, counts.of_isr());
    }

    fn source(&self, vector: u32) -> Source {
        if self.is_line.load(Relaxed) { Source::Line } else { Source::Message(vector as u16) }
    }

    /// Before an ISR run that may be one too many: the storm guard, and the end of a poisoned plugin's. Some: the plugin's handler does not
    /// run, and this is the answer.
    #[cold]
    #[inline(never)]
    #[cfg_attr(kp_driver, optimize(size))]
    fn isr_slow_path(&self, bound: &DeviceRecord<P>, counts: &Vector, vector: u32) -> Option<bool> {
        let is_line = self.is_line.load(Relaxed);
        if kernel::poisoned() {
            // Nobody will ever quiet the device.
            return Some(kernel::irq_mask(bound.id, vector) || !is_line);
        }
        let runs = counts.unserved.load(Relaxed);
        if runs == STORM_RUNS {
            counts.unserved_since.store(kernel::now_ns(), Relaxed);
        }
        if runs < 2 * STORM_RUNS {
            return None;
        }
        let mut masked = false;
        if runs >= GIVEN_UP {
            if is_line && counts.spurious.load(Relaxed).is_multiple_of(RETRY_RUNS) {
                masked = kernel::irq_mask(bound.id, vector);
            }
        } else if kernel::now_ns().wrapping_sub(counts.unserved_since.load(Relaxed)) < STORM_NS {
            masked = self.storm(bound, counts, vector);
        } else {
            counts.unserved.store(0, Relaxed);
            return None;
        }
        // From now on what comes is not the device's: it is masked, or was not the one.
        count(if masked { &counts.received } else { &counts.spurious });
        self.counter_page.publish_isr(vector, counts.of_isr());
        Some(masked || !is_line)
    }

    /// A vector never ends. True: it is masked.
    #[cfg_attr(kp_driver, optimize(size))]
    fn storm(&self, bound: &DeviceRecord<P>, counts: &Vector, vector: u32) -> bool {
        let masked = kernel::irq_mask(bound.id, vector);
        if !self.storm_is_logged.swap(true, Relaxed) {
            if masked {
                crate::log!("an interrupt never ends: masked until it is disabled");
            } else {
                crate::log!("an interrupt never ends: it is not masked, and not taken for the device's any more");
            }
        }
        counts.unserved_least.store(GIVEN_UP, Relaxed);
        counts.unserved.store(GIVEN_UP, Relaxed);
        // The notifications is a Dispatch lock: its DPC takes note. A DPC that runs now may have set the count back; that one sets it again.
        if counts.pending.storm() {
            kernel::dpc_queue(bound.id, vector);
        }
        masked
    }

    /// The entry's DPC.
    ///
    /// # Safety
    /// At Dispatch, while connected, never twice at once for one vector.
    #[inline]
    pub(super) unsafe fn dpc(cookie: *const (), vector: u32) {
        // SAFETY: the cookie is the record, which outlives the connection.
        let bound = unsafe { &*cookie.cast::<DeviceRecord<P>>() };
        let Some(this) = bound.interrupts() else { return };
        let Some(counts) = this.vector(vector) else { return };
        let Some(run) = counts.pending.begin() else { return };
        // SAFETY: the caller's promise.
        let mut cx = unsafe { Dispatch::assume() };
        let deferred = run.deferred();
        let notified = if deferred == 0 { 0 } else { this.run_dpc(&mut cx, bound, counts, vector, deferred) };
        counts.unserved.store(counts.unserved_least.load(Relaxed), Relaxed);
        if notified != 0 || run.storm() {
            let owner = this.notifications.with(&mut cx, |notifications, _| {
                notifications.notify(vector, notified);
                notifications.storm |= run.storm();
                this.counter_page.publish_notifications(vector, || notifications.counts(vector));
                notifications.owner
            });
            if let Some(owner) = owner {
                // SAFETY: an owner's tear-down waits for `irq_disconnect`, which waits for this DPC.
                let owner = unsafe { owner.as_ref() };
                owner.waker.wake(owner.cancellation());
            }
        }
        if counts.pending.done(run) {
            kernel::dpc_queue(bound.id, vector);
        }
    }

    /// Runs `int_at_dpc`: the notifications it asks for. Without one, each deferral is a notification.
    #[inline]
    fn run_dpc(&self, cx: &mut Dispatch, bound: &DeviceRecord<P>, counts: &Vector, vector: u32, pending: u32) -> u32 {
        if kernel::poisoned() {
            return 0;
        }
        // SAFETY: connected, or under `control`.
        let (Some(table), Some(context)) = (&P::TABLE.int, unsafe { self.context() }) else { return 0 };
        // SAFETY: the plugin is there until every session's tear-down.
        let plugin = unsafe { bound.plugin() };
        let notified = match table.at_dpc {
            Some(at_dpc) => at_dpc(plugin, cx, context, self.source(vector), pending),
            None => pending,
        };
        count(&counts.dpc_runs);
        self.counter_page.publish_dpc(vector, &counts.dpc_runs);
        notified
    }

    /// Number of the enabling that a wait of this session is for.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn waitable(&self, cx: &mut Passive, session: &Session<P>) -> Result<u64> {
        if kernel::poisoned() {
            return Err(Status::POISONED.into()); // whoever owns the interrupt
        }
        self.notifications.with(cx, |notifications, _| {
            notifications.check_owner(session)?;
            if notifications.armed { Ok(notifications.generation) } else { Err(Error::from(Status::NOT_ENABLED)) }
        })
    }

    /// Takes up to `max` notifications. Timeout: there are none.
    #[inline]
    pub(super) fn dequeue(
        &self,
        cx: &mut impl AtMost<Dispatch>,
        session: &Session<P>,
        generation: u64,
        vector: u32,
        max: u32,
    ) -> Result<Notified> {
        self.notifications.with(cx, |notifications, _| {
            let taken = notifications.dequeue(session, generation, vector, max);
            if let Ok(Notified { vector, .. }) = taken {
                self.counter_page.publish_notifications(vector, || notifications.counts(vector));
            }
            taken
        })
    }

    /// Undoes a `dequeue` whose answer could not be delivered.
    pub(super) fn requeue(&self, cx: &mut impl AtMost<Dispatch>, taken: Notified) {
        self.notifications.with(cx, |notifications, _| {
            notifications.requeue(taken);
            self.counter_page.publish_notifications(taken.vector, || notifications.counts(taken.vector));
        });
    }

    /// INT_COUNT.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn counters(&self, cx: &mut Passive, vector: u32) -> Result<(u64, Counters)> {
        self.notifications.with(cx, |notifications, _| Ok((notifications.generation, notifications.counters(vector)?)))
    }

    /// Is there something for `session` to take?
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn has_pending(&self, cx: &mut Passive, session: &Session<P>) -> bool {
        self.notifications
            .with(cx, |notifications, _| notifications.check_owner(session).is_ok() && notifications.has_pending())
    }
}

impl<P: Plugin> BoundDevice<P> {
    /// What the port hands to ISR and DPC.
    fn as_cookie(&self) -> *const () {
        ptr::from_ref::<DeviceRecord<P>>(self).cast()
    }
}
