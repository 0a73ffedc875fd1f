//! Pages that are mapped for a device's transfers.
use super::{
    DmaDirection, DmaId, RawMapping,
    device_dma::DeviceDma,
    dma_memory::{DmaMemory, Made, Place, free_record, may_make},
    kernel,
    link::Link,
    page_ref::PageRef,
};
use crate::{DmaLimits, KVec, Passive, Result, Status};
use core::{
    ops::{Deref, Range},
    ptr::NonNull,
    slice,
};
use kp_abi::ring::PAGE;

/// See the module.
pub(crate) struct Mapped {
    pub(crate) raw: NonNull<RawMapping>,
    /// For its drop, and while it is kept: all of them are then.
    pages: PageRef,
    /// Does the device see what the processor has written, and the other way round? Else it has to be synced.
    pub(crate) is_direct: bool,
    /// Where the device has the first byte, and the beginning of each further page.
    pub(crate) bus: Addresses,
    /// Where the range begins in the first page, and how much of it the device takes in one transfer.
    pub(crate) skip: usize,
    pub(crate) fits: usize,
    /// Of the device's limits: the longest piece, and what none crosses.
    pub(crate) longest: u32,
    pub(crate) boundary: u64,
}

impl Made for Mapped {
    const RECORD_IS_SPARED: bool = true;

    fn begin_keep(&self) -> usize {
        if self.pages.set_kept(true) { 0 } else { self.pages.len().get() }
    }

    fn end_keep(&self) {
        self.pages.set_kept(false);
    }

    unsafe fn free(self, dma: DmaId) {
        // SAFETY: the caller's promise; the pages go after it.
        unsafe { kernel::dma_unmap(dma, self.raw) }
    }
}

/// Of a mapping's pages. What is inside one page allocates no memory for it.
pub(crate) enum Addresses {
    One(u64),
    More(KVec<u64>),
}

impl Deref for Addresses {
    type Target = [u64];
    #[inline]
    fn deref(&self) -> &[u64] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

impl DmaMemory<Mapped> {
    /// Maps `range` of pages, in bytes, which they have. How much of it fits the limits is asked then, of more than one page: `fits` is given them, the bus
    /// addresses, where the range begins in the first page, and its length. Errors: `DEVICE_GONE`, `NO_MEMORY`.
    #[inline(always)]
    pub(crate) fn mapping(
        cx: &mut Passive,
        (link, dma, limits): (&Link, DmaId, &DmaLimits),
        pages: &PageRef,
        range: Range<usize>,
        direction: DmaDirection,
        fits: impl FnOnce(&DmaLimits, &[u64], usize, usize) -> usize,
    ) -> Result<Self> {
        let (skip, len) = (range.start % PAGE, range.len());
        if skip + len > PAGE {
            // By value, so that nothing of the caller's has to have an address.
            return Self::of_pages(cx, (link.clone(), dma, *limits), pages.clone(), range, direction, fits);
        }
        let _inside = may_make(link, || pages.is_kept())?;
        let (place, mut bus) = (Place::new(cx, link)?, 0);
        // SAFETY: as in `of_pages`.
        let raw = unsafe { kernel::dma_map(dma, pages.raw(), range.start, len, direction, slice::from_mut(&mut bus)) };
        let raw = raw.ok_or(Status::NO_MEMORY)?;
        // SAFETY: just made.
        let is_direct = unsafe { kernel::dma_is_direct(dma, raw) };
        // No border that a segment may not cross is inside a page.
        let fits =
            u64::from(limits.max_segments()).saturating_mul(limits.max_segment().into()).min(len as u64) as usize;
        let (pages, bus) = (pages.clone(), Addresses::One(bus));
        let (longest, boundary) = (limits.max_segment(), limits.segment_boundary());
        // SAFETY: just made with this `dma`, which is open while `_inside` is there.
        Ok(unsafe { place.fill(dma, Mapped { raw, pages, is_direct, bus, skip, fits, longest, boundary }) })
    }

    /// As [`mapping`](Self::mapping), of more than one page.
    #[inline(never)]
    fn of_pages(
        cx: &mut Passive,
        (link, dma, limits): (Link, DmaId, DmaLimits),
        pages: PageRef,
        range: Range<usize>,
        direction: DmaDirection,
        fits: impl FnOnce(&DmaLimits, &[u64], usize, usize) -> usize,
    ) -> Result<Self> {
        let _inside = may_make(&link, || pages.is_kept())?;
        let (skip, len) = (range.start % PAGE, range.len());
        let place = Place::new(cx, &link)?;
        let mut bus = KVec::zeroed(cx, (skip + len).div_ceil(PAGE))?;
        // SAFETY: the pages are alive: the record has a reference of its own. The callers have seen that they have so many bytes.
        let raw = unsafe { kernel::dma_map(dma, pages.raw(), range.start, len, direction, &mut bus) };
        let raw = raw.ok_or(Status::NO_MEMORY)?;
        // SAFETY: just made.
        let is_direct = unsafe { kernel::dma_is_direct(dma, raw) };
        let (fits, bus) = (fits(&limits, &bus, skip, len), Addresses::More(bus));
        let (longest, boundary) = (limits.max_segment(), limits.segment_boundary());
        // SAFETY: just made with this `dma`, which is open while `_inside` is there.
        Ok(unsafe { place.fill(dma, Mapped { raw, pages, is_direct, bus, skip, fits, longest, boundary }) })
    }

    /// What was written before is seen by the device.
    #[inline]
    pub(crate) fn sync_for_device(&self) {
        if !self.is_direct {
            // SAFETY: alive as long as this.
            unsafe { kernel::dma_sync_for_device(self.dma(), self.raw) }
        }
    }

    /// What the device has written is seen.
    #[inline]
    pub(crate) fn sync_for_cpu(&self) {
        if !self.is_direct {
            // SAFETY: alive as long as this.
            unsafe { kernel::dma_sync_for_cpu(self.dma(), self.raw) }
        }
    }
}

/// Frees the memory that is kept for a device's next record. There is none from now on: the device's transfers are over.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn end_spare(device: &DeviceDma) {
    // SAFETY: what is kept is memory of a freed record, of the kind that is spared, and whoever takes it has it alone.
    unsafe { free_record::<Mapped>(device.swap_spare(None)) };
}
