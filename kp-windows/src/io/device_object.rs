//! A device object of this driver's.
use crate::nt;
use core::{marker::PhantomData, ops::Deref};

/// A device object whose extension is an `E`, which is there for `'d`.
pub(crate) struct DeviceObject<'d, E> {
    raw: *mut nt::DeviceObject,
    extension: PhantomData<&'d E>,
}

impl<'d, E> DeviceObject<'d, E> {
    /// # Safety
    /// This driver's device, not null, its extension an `E` that is written, and not deleted within `'d`.
    pub(crate) unsafe fn from_raw(raw: *mut nt::DeviceObject) -> Self {
        Self { raw, extension: PhantomData }
    }

    pub(crate) fn as_raw(&self) -> *mut nt::DeviceObject {
        self.raw
    }

    /// The device is ready for requests: the flag that says that it is not is cleared.
    pub(crate) fn is_ready(&self) {
        // SAFETY: alive; AddDevice alone changes the flags of its device.
        unsafe { (*self.raw).flags &= !nt::device_flag::INITIALIZING };
    }

    pub(crate) fn extension(&self) -> &'d E {
        // SAFETY: alive for `'d`; the kernel keeps the extension with it.
        let extension = unsafe { (*self.raw).device_extension };
        // SAFETY: an `E`, written and alive for `'d`.
        unsafe { &*extension.cast::<E>() }
    }
}

impl<E> Deref for DeviceObject<'_, E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.extension()
    }
}
