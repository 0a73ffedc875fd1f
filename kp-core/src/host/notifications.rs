//! Pending notifications, and the enabling that they belong to. All of it changes under one Dispatch lock, so that
//! `notified = delivered + available + lost` holds at every look.
use super::{nospec::array_index_nospec, vector::Vector, waker::Waker};
use crate::{Error, IrqKind, KVec, Result, Status, limits};
use core::{
    ptr::NonNull,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};
use kp_abi::{
    Counters,
    request::ANY_VECTOR,
    zerocopy::{Immutable, IntoBytes},
};

/// Notifications of one vector.
#[derive(Clone, Copy, Default)]
pub(super) struct VectorCounters {
    notified: u64,
    delivered: u64,
    available: u64,
    lost: u64,
    /// Deferrals that are notifications by now: where the ISR wakes the app itself.
    deferred: u64,
}

impl VectorCounters {
    /// So many notifications. What is above the limit is lost.
    #[inline(always)]
    fn notify(&mut self, count: u64) {
        let kept = count.min(limits::MAX_AVAILABLE.saturating_sub(self.available));
        self.notified += count;
        self.available += kept;
        self.lost += count - kept;
    }

    /// So many notifications, for nobody.
    fn lose(&mut self, count: u64) {
        self.notified += count;
        self.lost += count;
    }
}

/// All counters of a vector.
#[inline(always)]
fn all_counters(counters: &VectorCounters, counts: &Vector) -> Counters {
    // In the reverse of the order in which ISR and DPC count: each look sees no more runs than deferrals, and no more
    // deferrals than interrupts.
    let dpc_runs = counts.dpc_runs.load(Acquire);
    let deferred = counts.deferred.load(Acquire);
    Counters {
        received: counts.received.load(Relaxed),
        spurious: counts.spurious.load(Relaxed),
        deferred,
        dpc_runs,
        notified: counters.notified,
        delivered: counters.delivered,
        available: counters.available,
        lost: counters.lost,
    }
}

/// What a wait took: the last fields of an INT_WAIT, as they are there.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[zerocopy(crate = "kp_abi::zerocopy")]
#[repr(C)]
pub(super) struct Notified {
    pub(super) vector: u32,
    pub(super) got: u32,
    pub(super) available: u64,
    pub(super) generation: u64,
}

/// The session that has enabled the interrupt, known by what wakes it. INVARIANT: alive as long as it is [`Notifications::owner`].
#[derive(Clone, Copy)]
pub(super) struct Owner(NonNull<Waker>);
// SAFETY: a `Waker` may be used from any thread.
unsafe impl Send for Owner {}

impl Owner {
    /// # Safety
    /// The waker lives until the enabling has no owner any more, and until the ISRs and DPCs of the enabling have returned.
    pub(super) unsafe fn new(waker: &Waker) -> Self {
        Self(NonNull::from(waker))
    }

    /// Has its waits look again. Passive and Dispatch.
    ///
    /// # Safety
    /// In a DPC of the owner's enabling: its session is not freed before that has returned.
    #[inline]
    pub(super) unsafe fn wake(self) {
        // SAFETY: alive, by the caller's promise and `new`'s.
        unsafe { self.0.as_ref() }.wake();
    }

    fn is(self, waker: &Waker) -> bool {
        core::ptr::eq(self.0.as_ptr(), waker)
    }
}

/// The interrupt's side that apps see.
pub(super) struct Notifications {
    /// The session that enabled it, or that listens to an interrupt of the plugin's own. None: nobody.
    pub(super) owner: Option<Owner>,
    /// Waits may take. False from the start of disabling.
    pub(super) armed: bool,
    /// An interrupt of the plugin's own: what there is to listen to.
    pub(super) kind: Option<IrqKind>,
    /// A vector never ended and was masked.
    pub(super) storm: bool,
    /// Number of the latest enabling.
    pub(super) generation: u64,
    /// One per vector, of the latest enabling.
    pub(super) per_vector: KVec<VectorCounters>,
    /// What ISR and DPC count, as many as `per_vector`. It stays where it is until the next enabling.
    pub(super) vectors: KVec<Vector>,
    /// Where the search for a vector with notifications starts: after the one served last.
    next: usize,
}

impl Notifications {
    pub(super) const fn new() -> Self {
        Self {
            owner: None,
            armed: false,
            kind: None,
            storm: false,
            generation: 0,
            per_vector: KVec::new(),
            vectors: KVec::new(),
            next: 0,
        }
    }

    /// Starts an enabling. Gives back the buffers of the one before, to be dropped where that is cheap.
    pub(super) fn start(
        &mut self,
        owner: Owner,
        per_vector: KVec<VectorCounters>,
        vectors: KVec<Vector>,
    ) -> (KVec<VectorCounters>, KVec<Vector>) {
        self.owner = Some(owner);
        self.armed = true;
        self.storm = false;
        self.number();
        self.count_anew(per_vector, vectors)
    }

    /// Another number: of what begins to count from 0, or of a listening.
    fn number(&mut self) -> u64 {
        self.generation += 1;
        self.next = 0;
        self.generation
    }

    /// Counts in these from now on. The buffers before.
    fn count_anew(
        &mut self,
        per_vector: KVec<VectorCounters>,
        vectors: KVec<Vector>,
    ) -> (KVec<VectorCounters>, KVec<Vector>) {
        (core::mem::replace(&mut self.per_vector, per_vector), core::mem::replace(&mut self.vectors, vectors))
    }

    /// Starts an enabling of the plugin's own. If nothing has changed of what there is to listen to, its counts go on, and so does who listens.
    /// Gives back the buffers that are not needed.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn start_own(
        &mut self,
        kind: IrqKind,
        per_vector: KVec<VectorCounters>,
        vectors: KVec<Vector>,
    ) -> (KVec<VectorCounters>, KVec<Vector>) {
        self.storm = false;
        if self.fits(kind, vectors.len()) {
            self.vectors.iter().for_each(Vector::start_again);
            return (per_vector, vectors);
        }
        self.kind = Some(kind);
        self.number();
        self.count_anew(per_vector, vectors)
    }

    /// Is this what there is to listen to?
    pub(super) fn fits(&self, kind: IrqKind, count: usize) -> bool {
        self.kind == Some(kind) && self.vectors.len() == count
    }

    /// A session listens from now on. The number of its listening.
    pub(super) fn listen(&mut self, owner: Owner) -> u64 {
        self.owner = Some(owner);
        self.armed = true;
        self.number()
    }

    /// As [`notify`](Self::notify), where perhaps nobody listens: then they are lost.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn notify_listener(&mut self, vector: u32, count: u32) {
        let Some(counters) = self.per_vector.get_mut(vector as usize) else { return };
        if self.armed {
            counters.notify(count.into());
        } else {
            counters.lose(count.into());
        }
    }

    /// `count` notifications of `vector`. What is above the limit is lost, and counted so.
    pub(super) fn notify(&mut self, vector: u32, count: u32) {
        if let Some(counters) = self.per_vector.get_mut(vector as usize) {
            counters.notify(count.into());
        }
    }

    /// Each deferral that was counted since the last time is a notification, and was as good as a run of the DPC.
    #[inline]
    pub(super) fn take_deferrals(&mut self) {
        for (counters, counts) in self.per_vector.iter_mut().zip(&*self.vectors) {
            let deferred = counts.deferred.load(Acquire);
            counters.notify(deferred - counters.deferred);
            counters.deferred = deferred;
            counts.dpc_runs.store(deferred, Release);
        }
    }

    /// Takes up to `max` of one vector's. Timeout: there is nothing.
    pub(super) fn dequeue(&mut self, waker: &Waker, generation: u64, vector: u32, max: u32) -> Result<Notified> {
        self.check_owner(waker)?;
        if !self.armed || self.generation != generation {
            return Err(Status::INT_DISABLED.into());
        }
        let count = self.per_vector.len();
        let at = match vector {
            ANY_VECTOR => {
                let mut next = self.next;
                (0..count).find_map(|_| {
                    let at = if next < count { next } else { 0 };
                    next = at + 1;
                    self.per_vector.get(at).filter(|counters| counters.available > 0).map(|_| at)
                })
            }
            one if (one as usize) < count => {
                let at = array_index_nospec(one as usize, count);
                self.per_vector.get(at).filter(|counters| counters.available > 0).map(|_| at)
            }
            _ => return Err(Status::BAD_VECTOR.into()),
        };
        let Some(at) = at else {
            return Err(if self.storm { Status::INTERRUPT_STORM } else { Status::TIMEOUT }.into());
        };
        self.next = at + 1;
        let Some(counters) = self.per_vector.get_mut(at) else { return Err(Status::BAD_VECTOR.into()) };
        let got = counters.available.min(u64::from(max)) as u32;
        counters.available -= u64::from(got);
        counters.delivered += u64::from(got);
        Ok(Notified { vector: at as u32, got, available: counters.available, generation })
    }

    /// Undoes a `dequeue` whose answer could not be delivered.
    pub(super) fn requeue(&mut self, taken: Notified) {
        let here = self.generation == taken.generation;
        let armed = self.armed;
        if let Some(counters) = self.per_vector.get_mut(taken.vector as usize).filter(|_| here) {
            counters.delivered -= u64::from(taken.got);
            let got = u64::from(taken.got);
            let kept = if armed { got.min(limits::MAX_AVAILABLE.saturating_sub(counters.available)) } else { 0 };
            counters.available += kept;
            counters.lost += got - kept;
        }
    }

    /// What nobody has taken is lost.
    pub(super) fn discard_pending(&mut self) {
        for counters in &mut *self.per_vector {
            counters.lost += core::mem::take(&mut counters.available);
        }
    }

    /// Is it the session with this waker that has enabled the interrupt? NotEnabled: nobody has; InterruptOwned: another session has.
    pub(super) fn check_owner(&self, waker: &Waker) -> Result<()> {
        match self.owner {
            Some(owner) if owner.is(waker) => Ok(()),
            Some(_) => Err(Status::INTERRUPT_OWNED.into()),
            None => Err(Status::NOT_ENABLED.into()),
        }
    }

    /// One vector's counters, or all together; zeros if it was never enabled.
    pub(super) fn counters(&self, vector: u32) -> Result<Counters> {
        let mut sum = Counters::default();
        if vector != ANY_VECTOR && vector as usize >= self.per_vector.len() {
            return Err(Error::from(Status::BAD_VECTOR));
        }
        for (i, (counters, counts)) in self.per_vector.iter().zip(&*self.vectors).enumerate() {
            if vector == ANY_VECTOR || vector as usize == i {
                sum.add(&all_counters(counters, counts));
            }
        }
        Ok(sum)
    }

    /// One vector's counters, without a look at the others.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn counters_of(&self, vector: u32) -> Option<Counters> {
        let (counters, counts) = (self.per_vector.get(vector as usize)?, self.vectors.get(vector as usize)?);
        Some(all_counters(counters, counts))
    }

    /// A vector's counters of this file: notified, delivered, available, lost.
    pub(super) fn counts(&self, vector: u32) -> [u64; 4] {
        let Some(counters) = self.per_vector.get(vector as usize) else { return [0; 4] };
        [counters.notified, counters.delivered, counters.available, counters.lost]
    }

    pub(super) fn has_pending(&self) -> bool {
        self.per_vector.iter().any(|counters| counters.available > 0)
    }
}
