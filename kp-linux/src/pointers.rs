//! The host's values in the hands of the C glue: pointers that it gets from one entry point and passes to the others.
use core::{marker::PhantomData, ptr::NonNull};
use kp_core::{
    Passive, Plugin,
    host::{BoundDevice, Session, passive},
};

/// A bound device: `struct kp_bound_device *` in C.
///
/// Invariant: only the C glue passes one to an entry point. It got it from [`bind`](crate::entry::bind), has not passed it to
/// [`drop_device`](crate::entry::drop_device) before, and calls in process context, outside any other entry point.
#[repr(transparent)]
pub struct BoundPtr<P: Plugin> {
    raw: *const (),
    plugin: PhantomData<fn(P)>,
}

impl<P: Plugin> BoundPtr<P> {
    /// What the C glue is to keep of `bound`.
    pub(crate) fn new(bound: BoundDevice<P>) -> Self {
        Self { raw: bound.into_raw(), plugin: PhantomData }
    }

    /// For [`BoundDevice::from_raw`].
    pub(crate) fn into_raw(self) -> *const () {
        self.raw
    }

    /// Runs `f` at Passive.
    pub(crate) fn at_passive<R>(self, f: impl FnOnce(&mut Passive, &BoundDevice<P>) -> R) -> R {
        let f = |bound: &BoundDevice<P>| {
            // SAFETY: by the invariant this is process context, and no other entry point is on the stack.
            unsafe { passive(|cx| f(cx, bound)) }
        };
        // SAFETY: `raw` came from `into_raw`, in `new`, and by the invariant was not taken back.
        unsafe { BoundDevice::borrow_raw(self.raw, f) }
    }
}

/// A session: `struct kp_session *` in C, the `private_data` of its file.
///
/// Invariant: only the C glue passes one to an entry point. It got it from [`open`](crate::entry::open), does not pass it to
/// [`release`](crate::entry::release) before its other calls with it have returned, and calls in process context, outside any other entry
/// point.
#[repr(transparent)]
pub struct SessionPtr<P: Plugin>(NonNull<Session<P>>);

impl<P: Plugin> SessionPtr<P> {
    /// What the C glue is to keep of `session`.
    pub(crate) fn new(session: NonNull<Session<P>>) -> Self {
        Self(session)
    }

    /// For [`Session::release`].
    pub(crate) fn into_raw(self) -> NonNull<Session<P>> {
        self.0
    }

    /// The session.
    #[inline(always)]
    pub(crate) fn get(&self) -> &Session<P> {
        // SAFETY: by the invariant it was not released, and is not before the calling entry point has returned.
        unsafe { self.0.as_ref() }
    }

    /// Runs `f` at Passive.
    #[inline(always)]
    pub(crate) fn at_passive<R>(&self, f: impl FnOnce(&mut Passive, &Session<P>) -> R) -> R {
        let session = self.get();
        // SAFETY: by the invariant this is process context, and no other entry point is on the stack.
        unsafe { passive(|cx| f(cx, session)) }
    }
}
