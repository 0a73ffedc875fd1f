//! A list through its items, which others own.
use core::{
    cell::Cell,
    ptr::{self, NonNull},
};

/// An item's place in a list.
pub(crate) struct Links<T> {
    previous: Cell<*const T>,
    next: Cell<*const T>,
}

/// What can be in a [`List`].
pub(crate) trait Linked: Sized {
    /// The same place for each call.
    fn links(&self) -> &Links<Self>;
}

/// The list, newest first. INVARIANT: what is in it is alive, and in no other list.
pub(crate) struct List<T> {
    first: *const T,
}

impl<T> Links<T> {
    pub(crate) const fn new() -> Self {
        Self { previous: Cell::new(ptr::null()), next: Cell::new(ptr::null()) }
    }
}

impl<T: Linked> List<T> {
    pub(crate) const fn new() -> Self {
        Self { first: ptr::null() }
    }

    /// # Safety
    /// The item is in no list, and stays alive and where it is until it is [removed](Self::remove) or [taken](Self::pop).
    pub(crate) unsafe fn insert(&mut self, item: &T) {
        // SAFETY: by the invariant.
        if let Some(first) = unsafe { self.first.as_ref() } {
            first.links().previous.set(item);
        }
        item.links().previous.set(ptr::null());
        item.links().next.set(self.first);
        self.first = item;
    }

    /// # Safety
    /// The item is in this list.
    pub(crate) unsafe fn remove(&mut self, item: &T) {
        let (previous, next) = (item.links().previous.get(), item.links().next.get());
        // SAFETY: by the invariant.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.links().next.set(next),
            None => self.first = next,
        }
        // SAFETY: by the invariant.
        if let Some(next) = unsafe { next.as_ref() } {
            next.links().previous.set(previous);
        }
    }

    /// Takes the first item out.
    pub(crate) fn pop(&mut self) -> Option<NonNull<T>> {
        // SAFETY: by the invariant.
        let first = unsafe { self.first.as_ref() }?;
        // SAFETY: the first one of this list.
        unsafe { self.remove(first) };
        Some(NonNull::from(first))
    }

    /// Runs `f` for each item, which it may take out.
    pub(crate) fn each(&mut self, mut f: impl FnMut(&mut Self, &T)) {
        let mut at = self.first;
        // SAFETY: by the invariant: `f` takes out at most what it was given, and that one's successor was read before.
        while let Some(item) = unsafe { at.as_ref() } {
            at = item.links().next.get();
            f(self, item);
        }
    }
}
