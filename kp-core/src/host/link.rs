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
    /// Locked while the name is used.
    device: Mutex<Names>,
    /// Of its interrupt.
    masks: Masks,
    dma: DeviceDma,
}

/// What a device is known by.
struct Names {
    /// The port's name for it. None: the link was cut.
    id: Option<DeviceId>,
    /// None: its plugin has no interrupt of its own.
    own: Option<OwnInterrupt>,
}

/// What [`OwnInterrupt`] calls: it runs the function while the interrupt is off.
pub(super) type WhileOff =
    unsafe fn(*const (), &mut Passive, &mut dyn FnMut(&mut Passive) -> Result<Result<()>>) -> Result<()>;

/// An interrupt of the plugin's own, for code that does not know the plugin's type.
#[derive(Clone, Copy)]
pub(super) struct OwnInterrupt {
    /// The device's record. INVARIANT: alive as long as this is in a link.
    record: *const (),
    /// Counts a reference to it.
    hold: unsafe fn(*const ()),
    /// Takes that reference.
    while_off: WhileOff,
}
// SAFETY: the record may be used from any thread.
unsafe impl Send for OwnInterrupt {}

impl OwnInterrupt {
    /// # Safety
    /// The functions are those of the record's plugin, and the record is alive as long as this is in a link.
    pub(super) unsafe fn new(record: *const (), hold: unsafe fn(*const ()), while_off: WhileOff) -> Self {
        Self { record, hold, while_off }
    }
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
        let (device, masks) = (Mutex::new(cx, Names { id: Some(id), own: None })?, Masks::new(cx, id)?);
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
        self.shared().device.with(cx, |names, _| *names = Names { id: None, own: None });
    }

    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(DeviceId) -> R) -> Result<R> {
        self.locked(cx, |_, id| Ok(f(id)))
    }

    /// Runs `f` with the device's name, alone: others who use the link wait, and so does [`cut`](Self::cut). So what `f` does has an end.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn locked<R>(&self, cx: &mut Passive, f: impl FnOnce(&mut Passive, DeviceId) -> Result<R>) -> Result<R> {
        let done = self.shared().device.with(cx, |names, cx| names.id.map(|id| f(cx, id)));
        done.unwrap_or(Err(Status::DEVICE_GONE.into()))
    }

    /// The plugin's own interrupt is there from now on, or not any more.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn set_own(&self, cx: &mut Passive, own: Option<OwnInterrupt>) {
        self.shared().device.with(cx, |names, _| names.own = own);
    }

    /// Runs `f`. An interrupt of the plugin's own is off meanwhile, and is enabled again, unless `f` answers with an `Err` of its own: then it
    /// cannot be. Errors: `BUSY` in the interrupt's callbacks, or while another thread is here; what enabling it again comes to.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn while_off(
        &self,
        cx: &mut Passive,
        f: &mut dyn FnMut(&mut Passive) -> Result<Result<()>>,
    ) -> Result<()> {
        let own = self.shared().device.with(cx, |names, _| {
            // SAFETY: alive, by the invariant: the lock is held.
            names.own.inspect(|own| unsafe { (own.hold)(own.record) })
        });
        match own {
            // SAFETY: counted above.
            Some(own) => unsafe { (own.while_off)(own.record, cx, f) },
            None => f(cx)?,
        }
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
