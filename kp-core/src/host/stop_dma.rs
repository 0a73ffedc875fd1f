//! A device's own transfers: their begin, and each way in which they end.
use super::{DmaId, LogLine, dma_memory, kernel, link::Link, mapped, sync::Ordering::*};
use crate::{DmaLimits, Passive, Result, Status, pci::end_transfers};
use kp_abi::request::dma;

/// How long the last end waits between two looks, in ns: those inside free memory, no more.
const LOOK_NS: u64 = 100_000;
/// How long a device may take to end what it has begun, in ms.
const PENDING_MS: u32 = 100;

impl Link {
    /// Says what the device reaches. Once.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn open_dma(&self, cx: &mut Passive, limits: &DmaLimits) -> Result<DmaId> {
        let dma = self.with(cx, |id| kernel::dma_open(id, limits))??;
        self.dma().open(dma, kernel::dma_is_isolated(dma));
        Ok(dma)
    }

    /// What QUERY says of the device's transfers: bits of [`dma`], and how many bytes are kept until it has stopped.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn dma_figures(&self) -> (u32, u64) {
        let dma = self.dma();
        let (Some(_inside), Some(_)) = (dma.enter(), dma.id()) else { return (0, 0) };
        let isolated = if dma.is_isolated() { dma::ISOLATED } else { 0 };
        (dma::HAS | isolated, dma.quarantined.load(Relaxed) as u64)
    }

    /// See [`Dma::halt`](crate::Dma::halt). With the name's lock held: nobody lets the device transfer again meanwhile.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn halt(&self, cx: &mut Passive) -> Result<()> {
        self.locked(cx, |cx, id| {
            // An enabling lets the device transfer without this lock.
            if self.masks().has_messages(cx) {
                return Err(Status::BUSY.into());
            }
            if kernel::bus_master(id, false) {
                kernel::bus_master(id, self.dma().is_enabled());
                return Err(Status::BUSY.into());
            }
            self.dma().set_enabled(false);
            if !end_transfers(id, PENDING_MS) {
                return Err(Status::TIMEOUT.into());
            }
            self.free_kept();
            Ok(())
        })
    }

    /// Frees what is kept until the device has stopped: it has.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn release_kept(&self, cx: &mut Passive) {
        let _ = self.with(cx, |_| self.free_kept());
    }

    /// Frees what is kept. With the name's lock held, or by the removal: one at a time.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn free_kept(&self) {
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
                end_transfers(id, PENDING_MS);
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
        mapped::end_spare(dma);
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
