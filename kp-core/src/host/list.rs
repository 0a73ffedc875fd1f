//! Intrusive lists, for a device's handles and for who waits: linking and unlinking allocate nothing.
use super::{OwnerDied, RobustMutex};
use crate::{Passive, Result};
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

/// What an object in a chain has of it: its neighbours, and where it is itself. Used under the list's lock, so no access is ordered by itself.
pub(super) struct Links {
    object: AtomicPtr<()>,
    previous: AtomicPtr<Links>,
    next: AtomicPtr<Links>,
}

impl Links {
    pub(super) const fn new() -> Self {
        Self {
            object: AtomicPtr::new(ptr::null_mut()),
            previous: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

/// Objects of one kind, linked with each other. It is used under a lock of its owner's. INVARIANT: what is linked is alive.
pub(super) struct Chain(AtomicPtr<Links>);

impl Chain {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts an object in front.
    ///
    /// # Safety
    /// The owner's lock is held. `links` are those of `object`, which is alive, in no chain, and is removed before it is freed.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn insert(&self, object: NonNull<()>, links: &Links) {
        let first = self.0.load(Relaxed);
        links.object.store(object.as_ptr(), Relaxed);
        links.previous.store(ptr::null_mut(), Relaxed);
        links.next.store(first, Relaxed);
        let this = ptr::from_ref(links).cast_mut();
        // SAFETY: the lock is held.
        if let Some(first) = unsafe { linked(first) } {
            first.previous.store(this, Relaxed);
        }
        self.0.store(this, Relaxed);
    }

    /// Takes an object out.
    ///
    /// # Safety
    /// The owner's lock is held, and the object is in this chain.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn remove(&self, links: &Links) {
        let (previous, next) = (links.previous.load(Relaxed), links.next.load(Relaxed));
        // SAFETY: the lock is held.
        let previous_links = unsafe { linked(previous) };
        previous_links.map_or(&self.0, |links| &links.next).store(next, Relaxed);
        // SAFETY: the lock is held.
        if let Some(next) = unsafe { linked(next) } {
            next.previous.store(previous, Relaxed);
        }
    }

    /// Runs `f` for each object.
    ///
    /// # Safety
    /// The owner's lock is held, and `f` neither inserts nor removes.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn each(&self, mut f: impl FnMut(NonNull<()>)) {
        let mut at = self.0.load(Relaxed);
        // SAFETY: the lock is held.
        while let Some(links) = unsafe { linked(at) } {
            if let Some(object) = NonNull::new(links.object.load(Relaxed)) {
                f(object);
            }
            at = links.next.load(Relaxed);
        }
    }
}

/// A chain with a lock that may be held across code of a plugin's.
pub(super) struct List {
    /// Held while the links are used.
    lock: RobustMutex,
    chain: Chain,
}

impl List {
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { lock: RobustMutex::new(cx)?, chain: Chain::new() })
    }

    /// Puts an object in front.
    ///
    /// # Safety
    /// `links` are those of `object`, which is alive, in no list, and is removed before it is freed.
    pub(super) unsafe fn insert(&self, cx: &mut Passive, object: NonNull<()>, links: &Links) -> Result<(), OwnerDied> {
        // SAFETY: the lock is held; the rest is the caller's promise.
        self.lock.with(cx, |_| unsafe { self.chain.insert(object, links) })
    }

    /// Takes an object out.
    ///
    /// # Safety
    /// It is in this list.
    pub(super) unsafe fn remove(&self, cx: &mut Passive, links: &Links) -> Result<(), OwnerDied> {
        // SAFETY: the lock is held, and it is in this list.
        self.lock.with(cx, |_| unsafe { self.chain.remove(links) })
    }

    /// Runs `f` for each object, which stays in the list meanwhile. Did it answer true each time? False too if the lock's owner has died.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn each(&self, cx: &mut Passive, f: impl Fn(NonNull<()>, &mut Passive) -> bool) -> bool {
        let all = self.lock.with(cx, |cx| {
            let mut all = true;
            // SAFETY: the lock is held, so `f` neither inserts nor removes.
            unsafe { self.chain.each(|object| all &= f(object, cx)) };
            all
        });
        matches!(all, Ok(true))
    }
}

/// The links that a chain's pointer leads to; None: its end.
///
/// # Safety
/// A pointer of a chain, whose lock is held as long as the links are used.
unsafe fn linked<'a>(at: *mut Links) -> Option<&'a Links> {
    // SAFETY: null, or of an object in a chain: alive by the chain's invariant, and removed only under the lock.
    unsafe { at.as_ref() }
}
