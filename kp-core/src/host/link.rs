//! A device's name, for what a plugin keeps of it. The name is good until the device's removal, and what is kept may live longer, in a
//! `static` for instance: so it goes through a link, which the removal cuts.
use super::{ConfigWidth, DeviceId, DmaId, LogLine, device_dma::DeviceDma, dma_memory, kernel, transfers};
use crate::{DmaLimits, KBox, Mutex, Passive, Result, Status};
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::*},
};

/// How long the end of a device's transfers waits between two looks, in ns: those inside free memory, no more.
const LOOK_NS: u64 = 100_000;

/// The link, shared by the driver and whatever its plugin keeps.
struct Shared {
    references: AtomicUsize,
    /// The port's name for the device. None: it was cut. Locked while the name is used.
    device: Mutex<Option<DeviceId>>,
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
        let device = Mutex::new(cx, Some(id))?;
        let shared = Shared { references: AtomicUsize::new(1), device, dma: DeviceDma::new() };
        Ok(Self(KBox::new(cx, shared)?.into_raw()))
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the invariant.
        unsafe { self.0.as_ref() }
    }

    /// From its return on nobody uses the name, or will. Nothing of a plugin runs while it is used, so this does not wait for long.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn cut(&self, cx: &mut Passive) {
        self.shared().device.with(cx, |device, _| *device = None);
    }

    #[cfg_attr(kp_driver, optimize(size))]
    fn with<R>(&self, cx: &mut Passive, f: impl FnOnce(DeviceId) -> R) -> Result<R> {
        self.shared().device.with(cx, |device, _| device.map(f)).ok_or(Status::DEVICE_GONE.into())
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
            kernel::bus_master(id, on);
        })
    }

    /// What there is of the device's own transfers.
    pub(crate) fn dma(&self) -> &DeviceDma {
        &self.shared().dma
    }

    /// Says what the device reaches. Once.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn open_dma(&self, cx: &mut Passive, limits: &DmaLimits) -> Result<DmaId> {
        let dma = self.with(cx, |id| kernel::dma_open(id, limits))??;
        self.dma().set_id(Some(dma));
        Ok(dma)
    }

    /// See [`Dma::halt`](crate::Dma::halt). With the name's lock held: nobody lets the device transfer again meanwhile.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn halt(&self, cx: &mut Passive) -> Result<()> {
        self.with(cx, |id| {
            if kernel::bus_master(id, false) {
                kernel::bus_master(id, true);
                return Err(Status::BUSY.into());
            }
            if !transfers::end(id) {
                return Err(Status::TIMEOUT.into());
            }
            self.free_kept();
            Ok(())
        })?
    }

    /// Frees what is kept until the device has stopped: it has.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn release_kept(&self, cx: &mut Passive) {
        let _ = self.with(cx, |_| self.free_kept());
    }

    /// With the name's lock held, or by the removal: one at a time.
    #[cfg_attr(kp_driver, optimize(size))]
    fn free_kept(&self) {
        let dma = self.dma();
        let Some(_inside) = dma.enter() else { return };
        // SAFETY: the callers say that the device reaches nothing of it; `_inside` keeps its transfers open.
        unsafe { dma_memory::empty(&dma.quarantine, |bytes| _ = dma.quarantined.fetch_sub(bytes, Relaxed)) };
    }

    /// The device transfers no more from here on, whatever was told to it, as far as that is in the kernel's hands. `present`: it is still there.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn stop_dma(&self, cx: &mut Passive, present: bool) {
        if self.dma().id().is_none() {
            return;
        }
        if present {
            let _ = self.with(cx, |id| {
                kernel::bus_master(id, false);
                transfers::end(id);
            });
        }
        self.dma().stop();
    }

    /// After [`stop_dma`](Self::stop_dma), when no callback of the plugin runs any more: frees what is kept. What is dropped from now on is freed at
    /// once.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn empty_quarantine(&self) {
        if self.dma().is_stopped() {
            self.free_kept();
        }
    }

    /// After the plugin's value was dropped: what somebody has kept reaches the device no more.
    pub(super) fn end(&self, cx: &mut Passive) {
        self.cut(cx);
        self.end_dma();
    }

    /// Nothing more is made for the device's transfers, and what somebody has kept is lost.
    #[cfg_attr(kp_driver, optimize(size))]
    fn end_dma(&self) {
        let dma = self.dma();
        let Some(id) = dma.id() else { return };
        dma.end(|| kernel::sleep_ns(LOOK_NS));
        // SAFETY: the device has stopped, and its transfers are open. This is for who saw it run still, and was inside.
        unsafe { dma_memory::empty(&dma.quarantine, |_| ()) };
        match dma.alive.load(Acquire) {
            // SAFETY: the device has stopped, and nothing is left that was made with it.
            0 => unsafe { kernel::dma_close(id) },
            left => {
                let mut line = LogLine::<64>::new();
                line.push("memory for transfers is leaked: ");
                line.push_number(u32::try_from(left).unwrap_or(u32::MAX));
                kernel::log(line.text());
            }
        }
    }
}
