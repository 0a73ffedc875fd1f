//! Transfers of a device's own (DMA): what it reaches, and memory that it shares with the processor. Nothing here lends a reference to bytes that a
//! device may change: they are read and written one word at a time.
mod address;
mod coherent;
mod direction;
mod limits;
mod mapping;
mod on_device;
mod pages;
mod transfer;

pub use address::{BusAddress, Segment};
pub use coherent::Coherent;
pub use direction::{Both, Direction, FromDevice, ToDevice};
pub use limits::DmaLimits;
pub use mapping::{Mapping, Segments};
pub use on_device::{OnBus, OnDevice};
pub use pages::{Area, Pages};
pub use transfer::Transfer;

use crate::{
    Passive, Result, Status,
    host::{DmaId, Link},
};

/// A device's own transfers. Of [`Device::dma`](crate::Device::dma); may be kept and cloned.
///
/// Errors of all it does: `DEVICE_GONE` once the device is removed.
#[derive(Clone)]
pub struct Dma {
    link: Link,
    id: DmaId,
    limits: DmaLimits,
}

impl Dma {
    pub(crate) fn new(link: Link, id: DmaId, limits: DmaLimits) -> Self {
        Self { link, id, limits }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn id(&self) -> DmaId {
        self.id
    }

    /// What the device reaches.
    pub fn limits(&self) -> &DmaLimits {
        &self.limits
    }

    /// Lets the device transfer: bus mastering is on from now on. After [`halt`](Self::halt) the device is to be told first that it knows no address
    /// any more: what it had then may be freed. Passive.
    pub fn enable(&self, cx: &mut Passive) -> Result<()> {
        self.link.bus_master(cx, true)
    }

    /// Has the device transfer no more: switches bus mastering off, waits until what is under way has arrived, at most 100 ms, and frees what was
    /// dropped as an [`OnDevice`]. Passive.
    ///
    /// An interrupt of the plugin's own is disabled before and enabled again, as by [`Config::reset`](crate::Config::reset), with its errors. By messages it
    /// turns bus mastering on again: have the device forget its addresses in `int_disable` at the latest.
    ///
    /// Errors: `BUSY`, and nothing has changed, while an app has messages (MSI, MSI-X) enabled, which are transfers too, or may be about to; `TIMEOUT`
    /// if the device still has transfers under way after that time: nothing was freed then. An app's enabling by messages lets it transfer again, when
    /// `int_enable` is over: have it forget its addresses by then.
    pub fn halt(&self, cx: &mut Passive) -> Result<()> {
        self.link.while_off(cx, &mut |cx| match self.link.halt(cx) {
            Err(error) if error == Status::DEVICE_GONE => Err(error),
            done => Ok(done),
        })
    }

    /// The plugin's word that the device knows no address any more, since its engine was reset: frees what was dropped as an [`OnDevice`]. Passive.
    pub fn device_was_reset(&self, cx: &mut Passive) {
        self.link.release_kept(cx);
    }

    /// Does an IOMMU keep the device from all memory but what was made for it? False where that is not known, and once the device is gone. Any level.
    pub fn is_isolated(&self) -> bool {
        let dma = self.link.dma();
        dma.enter().is_some() && dma.is_isolated()
    }
}
