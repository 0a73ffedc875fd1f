//! A device's name, for what a plugin keeps of it. The name is good until the device's removal, and what is kept may live longer, in a
//! `static` for instance: so it goes through a link, which the removal cuts.
use super::{ConfigWidth, DeviceId, device_dma::DeviceDma, kernel, masks::Masks};
use crate::{KBox, Mutex, Passive, Result, Status};
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::*},
};

/// The link, shared by the driver and whatever its plugin keeps.
struct Shared {
    references: AtomicUsize,
    /// The port's name for the device. None: it was cut. Locked while the name is used.
    device: Mutex<Option<DeviceId>>,
    /// Of its interrupt.
    masks: Masks,
    dma: DeviceDma,
}

/// A counted reference to a link. INVARIANT: the record lives as long as it.
pub(crate) struct Link(NonNull<Shared>);
// SAFETY: a counted reference to something Send and Sync.
unsafe impl Send for Link {}
// SAFETY: a shared link locks the mutex around the name, or counts references atomically.
unsafe impl Sync for Link {}

impl Clone for Link {
    fn clone(&self) -> Self {
        self.shared().references.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

impl Drop for Link {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        if self.shared().references.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: the last reference; the record came from a KBox.
            drop(unsafe { KBox::from_raw(self.0) });
        }
    }
}

impl Link {
    /// A link to device `id` of the port.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn new(cx: &mut Passive, id: DeviceId) -> Result<Self> {
        let (device, masks) = (Mutex::new(cx, Some(id))?, Masks::new(cx, id)?);
        let shared = Shared { references: AtomicUsize::new(1), device, masks, dma: DeviceDma::new() };
        Ok(Self(KBox::new(cx, shared)?.into_raw()))
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the invariant.
        unsafe { self.0.as_ref() }
    }

    /// From its return on nobody uses the name, or will. Nothing of a plugin runs while it is used, so this does not wait for long: two seconds
    /// at most, for a reset.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn cut(&self, cx: &mut Passive) {
        self.shared().device.with(cx, |device, _| *device = None);
    }

    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(DeviceId) -> R) -> Result<R> {
        self.locked(cx, |_, id| Ok(f(id)))
    }

    /// Runs `f` with the device's name, alone: others who use the link wait, and so does [`cut`](Self::cut). So what `f` does has an end.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn locked<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive, DeviceId) -> Result<R>) -> Result<R> {
        let done = self.shared().device.with(cx, |device, cx| device.map(|id| f(cx, id)));
        done.unwrap_or(Err(Status::DEVICE_GONE.into()))
    }

    /// An enabling begins: no reset runs, and none does until [`Masks::end`].
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn begin_interrupt(&self, cx: &mut Passive) {
        // Under the lock, which a reset holds.
        self.shared().device.with(cx, |_, cx| self.masks().begin(cx));
    }

    /// Which vectors are masked.
    pub(crate) fn masks(&self) -> &Masks {
        &self.shared().masks
    }

    /// Reads configuration space, as the port does.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn config_read(&self, cx: &mut Passive, offset: u32, width: ConfigWidth) -> Result<u32> {
        self.with(cx, |id| kernel::config_read(id, offset, width))
    }

    /// Writes configuration space, as the port does.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn config_write(&self, cx: &mut Passive, offset: u32, width: ConfigWidth, value: u32) -> Result<()> {
        self.with(cx, |id| kernel::config_write(id, offset, width, value))
    }

    /// Lets the device start transfers of its own, or not.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn bus_master(&self, cx: &mut Passive, on: bool) -> Result<()> {
        self.with(cx, |id| {
            self.dma().set_enabled(on);
            kernel::bus_master(id, on);
        })
    }

    /// What there is of the device's own transfers.
    pub(crate) fn dma(&self) -> &DeviceDma {
        &self.shared().dma
    }
}
