//! A device's interrupt: what ISR, DPC, waits and requests share. `enable` fills it in and empties it, `isr` runs the plugin's handlers with
//! it, `storm` guards it.
use super::{
    DeviceId, RobustMutex, kernel,
    kernel_page::CounterPage,
    notifications::{Notifications, Notified, Owner, VectorCounters},
    vector::Vector,
    waker::Waker,
};
use crate::{AtMost, Dispatch, Error, IrqKind, KVec, Passive, Plugin, Result, Source, SpinLock, Status};
use core::{
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering::*},
};
use kp_abi::Counters;

/// A device's interrupt.
pub(crate) struct Interrupts<P: Plugin> {
    /// The device, as the port names it.
    pub(super) device: DeviceId,
    /// Held while the interrupt is being enabled or disabled.
    pub(super) lock: RobustMutex,
    /// What the interrupt callbacks share. INVARIANT: Some, and not written, while connected; written under `lock`.
    context: UnsafeCell<Option<P::Interrupt>>,
    /// The vectors of `notifications`, for ISR and DPC. INVARIANT: `count` of them, in place, while connected.
    vectors: AtomicPtr<Vector>,
    count: AtomicU32,
    is_line: AtomicBool,
    /// Whom the ISR wakes itself; null: the DPC does it. INVARIANT: not written while connected; alive as the owner is.
    waker_at_irql: AtomicPtr<Waker>,
    /// The log has a line on a storm of this enabling.
    pub(super) storm_is_logged: AtomicBool,
    pub(super) notifications: SpinLock<Notifications, Dispatch>,
    /// Where the owner's app sees the counters.
    pub(super) counter_page: CounterPage,
    /// An interrupt of the plugin's own: one of `own`'s states. Changed under `lock`.
    pub(super) own: AtomicU32,
    /// An interrupt of the plugin's own: who wakes its listener right now.
    pub(super) wakers: AtomicU32,
}
// SAFETY: the context is Sync, and is written under `lock` while nothing is connected.
unsafe impl<P: Plugin> Sync for Interrupts<P> {}

/// What an enabling counts, from 0.
pub(super) struct Counts {
    vectors: KVec<Vector>,
    per_vector: KVec<VectorCounters>,
}

impl Counts {
    /// For so many vectors. Errors: `NO_MEMORY`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn new(cx: &mut Passive, count: u32) -> Result<Self> {
        let mut vectors = KVec::with_capacity(cx, count as usize)?;
        let mut per_vector = KVec::with_capacity(cx, count as usize)?;
        for _ in 0..count {
            vectors.push(cx, Vector::default())?;
            per_vector.push(cx, VectorCounters::default())?;
        }
        Ok(Self { vectors, per_vector })
    }
}

impl<P: Plugin> Interrupts<P> {
    pub(super) fn new(cx: &mut Passive, device: DeviceId) -> Result<Self> {
        Ok(Self {
            device,
            lock: RobustMutex::new(cx)?,
            context: UnsafeCell::new(None),
            vectors: AtomicPtr::new(ptr::null_mut()),
            count: AtomicU32::new(0),
            is_line: AtomicBool::new(false),
            waker_at_irql: AtomicPtr::new(ptr::null_mut()),
            storm_is_logged: AtomicBool::new(false),
            notifications: SpinLock::new(cx, Notifications::new())?,
            counter_page: CounterPage::new(),
            own: AtomicU32::new(0),
            wakers: AtomicU32::new(0),
        })
    }

    /// The plugin's context while connected.
    ///
    /// # Safety
    /// `lock` is held, or the caller runs between `irq_connect` and the return of `irq_disconnect`.
    #[inline]
    pub(super) unsafe fn context(&self) -> Option<&P::Interrupt> {
        // SAFETY: nobody writes then.
        unsafe { (*self.context.get()).as_ref() }
    }

    /// Gives the context, and takes what was there.
    ///
    /// # Safety
    /// `lock` is held, and nothing is connected.
    pub(super) unsafe fn replace_context(&self, context: Option<P::Interrupt>) -> Option<P::Interrupt> {
        // SAFETY: nobody reads then.
        core::mem::replace(unsafe { &mut *self.context.get() }, context)
    }

    /// One vector's counts. None: no such vector.
    #[inline]
    pub(super) fn vector(&self, vector: u32) -> Option<&Vector> {
        if vector >= self.count.load(Relaxed) {
            return None;
        }
        let first = self.vectors.load(Relaxed);
        // SAFETY: by the invariant there are `count` of them.
        let at = unsafe { first.add(vector as usize) };
        // SAFETY: in place by the invariant; they are shared, and all their fields atomic.
        unsafe { at.as_ref() }
    }

    /// How many vectors are enabled.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Is the interrupt a line?
    pub(super) fn is_line(&self) -> bool {
        self.is_line.load(Relaxed)
    }

    /// May the ISR wake the app itself? The compiler knows. Not who listens to an interrupt of the plugin's own, and may go at any moment.
    #[inline(always)]
    fn may_wake_at_irql() -> bool {
        !P::TABLE.own_interrupt
            && matches!(&P::TABLE.int, Some(table) if table.at_dpc.is_none())
            && kernel::wakes_at_irql()
    }

    /// Whom the ISR of this enabling wakes itself: then each deferral is a notification as it is counted. None: the DPC makes them.
    #[inline(always)]
    pub(super) fn waker_at_irql(&self) -> Option<&Waker> {
        if !Self::may_wake_at_irql() {
            return None;
        }
        // SAFETY: null, or a waker that lives as the owner does.
        unsafe { self.waker_at_irql.load(Relaxed).as_ref() }
    }

    /// From now on the ISR wakes the app itself, if it may. An app that looks at its page rather than wait is told there by the DPC.
    ///
    /// # Safety
    /// `lock` is held, and nothing is connected; the waker is the owner's.
    pub(super) unsafe fn wake_at_irql(&self, waker: &Waker) {
        if Self::may_wake_at_irql() && !self.counter_page.is_attached() {
            self.waker_at_irql.store(ptr::from_ref(waker).cast_mut(), Relaxed);
        }
    }

    /// The notifications. Those that the ISR has made by itself are counted first.
    #[inline(always)]
    fn notifications<R>(&self, cx: &mut impl AtMost<Dispatch>, f: impl FnOnce(&mut Notifications) -> R) -> R {
        self.notifications.with(cx, |notifications, _| {
            if Self::may_wake_at_irql() && !self.waker_at_irql.load(Relaxed).is_null() {
                notifications.take_deferrals();
            }
            f(notifications)
        })
    }

    /// Where vector `vector` comes from, for the plugin.
    pub(super) fn source(&self, vector: u32) -> Source {
        if self.is_line() { Source::Line } else { Source::Message(vector as u16) }
    }

    /// Begins an enabling with vectors of this kind. Its number. `owner`: None for the plugin's own.
    ///
    /// # Safety
    /// `lock` is held, and nothing is connected: the counts of the last enabling are freed here.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn begin(&self, cx: &mut Passive, owner: Option<Owner>, kind: IrqKind, counts: Counts) -> u64 {
        let count = counts.vectors.len() as u32;
        let (old, generation) = self.notifications.with(cx, |notifications, _| {
            let old = match owner {
                Some(owner) => notifications.start(owner, counts.per_vector, counts.vectors),
                None => notifications.start_own(kind, counts.per_vector, counts.vectors),
            };
            self.vectors.store(notifications.vectors.as_mut_ptr(), Relaxed);
            (old, notifications.generation)
        });
        drop(old); // here, since it is cheap at Passive
        self.count.store(count, Relaxed);
        self.is_line.store(kind == IrqKind::Line, Relaxed);
        self.storm_is_logged.store(false, Relaxed);
        generation
    }

    /// Ends an enabling: it has no owner, and nobody will take what is left. Who listens to an interrupt of the plugin's own does still.
    ///
    /// # Safety
    /// `lock` is held, and no ISR or DPC runs any more: they rely on the owner.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn end(&self, cx: &mut Passive) {
        if !P::TABLE.own_interrupt {
            self.notifications(cx, |notifications| {
                notifications.armed = false;
                notifications.discard_pending();
                notifications.owner = None;
                for vector in 0..self.count() {
                    self.counter_page.publish_notifications(vector, || notifications.counts(vector));
                }
                self.counter_page.detach();
            });
        }
        self.waker_at_irql.store(ptr::null_mut(), Relaxed);
        self.count.store(0, Relaxed);
    }

    /// Is this session's the enabling? NotEnabled: there is none; InterruptOwned: it is another session's.
    pub(super) fn check_owner(&self, cx: &mut Passive, waker: &Waker) -> Result<()> {
        self.notifications.with(cx, |notifications, _| notifications.check_owner(waker))
    }

    /// Number of the enabling that a wait of this session is for.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn waitable(&self, cx: &mut Passive, waker: &Waker) -> Result<u64> {
        if kernel::poisoned() {
            return Err(Status::POISONED.into()); // whichever session owns the interrupt
        }
        self.notifications.with(cx, |notifications, _| {
            notifications.check_owner(waker)?;
            if notifications.armed { Ok(notifications.generation) } else { Err(Error::from(Status::NOT_ENABLED)) }
        })
    }

    /// Takes up to `max` notifications. Timeout: there are none.
    #[inline]
    pub(super) fn dequeue(
        &self,
        cx: &mut impl AtMost<Dispatch>,
        waker: &Waker,
        generation: u64,
        vector: u32,
        max: u32,
    ) -> Result<Notified> {
        self.notifications(cx, |notifications| {
            let notified = notifications.dequeue(waker, generation, vector, max);
            if let Ok(Notified { vector, .. }) = notified {
                self.counter_page.publish_notifications(vector, || notifications.counts(vector));
            }
            notified
        })
    }

    /// Undoes a `dequeue` whose answer could not be delivered.
    pub(super) fn requeue(&self, cx: &mut impl AtMost<Dispatch>, notified: Notified) {
        self.notifications.with(cx, |notifications, _| {
            notifications.requeue(notified);
            self.counter_page.publish_notifications(notified.vector, || notifications.counts(notified.vector));
        });
    }

    /// Number of the latest enabling, and its counters.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn counters(&self, cx: &mut Passive, vector: u32) -> Result<(u64, Counters)> {
        self.notifications(cx, |notifications| Ok((notifications.generation, notifications.counters(vector)?)))
    }

    /// Is there something for this session to take?
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn has_pending(&self, cx: &mut Passive, waker: &Waker) -> bool {
        self.notifications(cx, |notifications| notifications.check_owner(waker).is_ok() && notifications.has_pending())
    }
}
