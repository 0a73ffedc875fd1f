//! A value in non-paged pool.
use crate::kernel::memory::{alloc, free};
use core::{
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// A value in non-paged pool, which its owner gives back.
pub(crate) struct PoolBox<T>(NonNull<T>);

impl<T> PoolBox<T> {
    /// No memory: the value comes back. Passive.
    pub(crate) fn new(value: T) -> Result<Self, T> {
        match NonNull::new(alloc(size_of::<T>(), align_of::<T>()).cast::<T>()) {
            Some(place) => {
                // SAFETY: fresh memory of this size.
                unsafe { place.write(value) };
                Ok(Self(place))
            }
            None => Err(value),
        }
    }

    /// Makes the value when there is memory for it. Passive.
    pub(crate) fn with(make: impl FnOnce() -> T) -> Option<Self> {
        let place = NonNull::new(alloc(size_of::<T>(), align_of::<T>()).cast::<T>())?;
        // SAFETY: fresh memory of this size.
        unsafe { place.write(make()) };
        Some(Self(place))
    }

    /// Gives the value up to who has the address.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// From [`into_raw`](Self::into_raw), once; nobody else uses the value.
    pub(crate) unsafe fn from_raw(place: NonNull<T>) -> Self {
        Self(place)
    }
}

impl<T> Deref for PoolBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: written when it was made, and this value's until it is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for PoolBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: written when it was made, and borrowed from its only owner.
        unsafe { self.0.as_mut() }
    }
}

/// At any level.
impl<T> Drop for PoolBox<T> {
    fn drop(&mut self) {
        // SAFETY: written when it was made, and not used any more.
        unsafe { self.0.drop_in_place() };
        // SAFETY: from `alloc`, with this alignment.
        unsafe { free(self.0.cast().as_ptr(), align_of::<T>()) };
    }
}
