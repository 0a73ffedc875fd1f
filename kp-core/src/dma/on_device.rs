//! Memory that a device has.
use core::{mem::ManuallyDrop, ops::Deref};

/// What may be on a device: a [`Coherent`](crate::Coherent) or a [`Mapping`](crate::Mapping).
pub trait OnBus: sealed::Sealed {}

pub(super) mod sealed {
    pub trait Sealed {
        /// Has it kept, when it is dropped, until the device has stopped.
        fn keep(&self);
    }
}

/// Memory that the device has: its bus address may be known to it.
///
/// Dropping it, at any level, is always safe: the memory is kept until the device cannot transfer any more. It is freed by
/// [`Dma::halt`](crate::Dma::halt), [`Dma::device_was_reset`](crate::Dma::device_was_reset), [`Config::reset`](crate::Config::reset) or the
/// device's removal. Forgetting it loses the memory.
pub struct OnDevice<B: OnBus>(ManuallyDrop<B>);

impl<B: OnBus> OnDevice<B> {
    pub(super) fn new(memory: B) -> Self {
        Self(ManuallyDrop::new(memory))
    }

    /// The memory, which the device has done with.
    pub(super) fn into_inner(self) -> B {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once: `this` does not drop.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<B: OnBus> Deref for OnDevice<B> {
    type Target = B;
    #[inline(always)]
    fn deref(&self) -> &B {
        &self.0
    }
}

impl<B: OnBus> Drop for OnDevice<B> {
    fn drop(&mut self) {
        self.0.keep();
        // SAFETY: dropped here alone: what `into_inner` has taken is not dropped.
        unsafe { ManuallyDrop::drop(&mut self.0) }
    }
}
