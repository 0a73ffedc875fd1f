//! An intrusive list, for a device's handles: linking and unlinking allocate nothing.
use super::{OwnerDied, RobustMutex};
use crate::{Passive, Result};
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

/// What an object in a list has of it: its neighbours, and where it is itself. Used under the list's lock, so no access is ordered by itself.
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

/// Objects of one kind. INVARIANT: what is linked is alive.
pub(super) struct List {
    /// Held while the links are used.
    lock: RobustMutex,
    first: AtomicPtr<Links>,
}

impl List {
    pub(super) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { lock: RobustMutex::new(cx)?, first: AtomicPtr::new(ptr::null_mut()) })
    }

    /// Puts an object in front.
    ///
    /// # Safety
    /// `links` are those of `object`, which is alive, in no list, and is removed before it is freed.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn insert(&self, cx: &mut Passive, object: NonNull<()>, links: &Links) -> Result<(), OwnerDied> {
        self.lock.with(cx, |_| {
            let first = self.first.load(Relaxed);
            links.object.store(object.as_ptr(), Relaxed);
            links.next.store(first, Relaxed);
            let this = ptr::from_ref(links).cast_mut();
            // SAFETY: the lock is held.
            if let Some(first) = unsafe { linked(first) } {
                first.previous.store(this, Relaxed);
            }
            self.first.store(this, Relaxed);
        })
    }

    /// Takes an object out.
    ///
    /// # Safety
    /// It is in this list.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) unsafe fn remove(&self, cx: &mut Passive, links: &Links) -> Result<(), OwnerDied> {
        self.lock.with(cx, |_| {
            let (previous, next) = (links.previous.load(Relaxed), links.next.load(Relaxed));
            // SAFETY: the lock is held.
            let previous_links = unsafe { linked(previous) };
            previous_links.map_or(&self.first, |links| &links.next).store(next, Relaxed);
            // SAFETY: the lock is held.
            if let Some(next) = unsafe { linked(next) } {
                next.previous.store(previous, Relaxed);
            }
        })
    }

    /// Runs `f` for each object, which stays in the list meanwhile. Did it answer true each time? False too if the lock's owner has died.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn each(&self, cx: &mut Passive, f: impl Fn(NonNull<()>, &mut Passive) -> bool) -> bool {
        let all = self.lock.with(cx, |cx| {
            let mut all = true;
            let mut at = self.first.load(Relaxed);
            // SAFETY: the lock is held.
            while let Some(links) = unsafe { linked(at) } {
                if let Some(object) = NonNull::new(links.object.load(Relaxed)) {
                    all &= f(object, cx);
                }
                at = links.next.load(Relaxed);
            }
            all
        });
        matches!(all, Ok(true))
    }
}

/// The links that a list's pointer leads to; None: its end.
///
/// # Safety
/// A pointer of a list, whose lock is held as long as the links are used.
unsafe fn linked<'a>(at: *mut Links) -> Option<&'a Links> {
    // SAFETY: null, or of an object in a list: alive by the list's invariant, and removed only under the lock.
    unsafe { at.as_ref() }
}
