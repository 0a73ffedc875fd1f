//! Memory that was made for a device's transfers: freed when it is dropped, or kept until the device has stopped.
use super::{
    CoherentMemory, DmaDirection, DmaId, RawMapping,
    device_dma::DeviceDma,
    kernel,
    link::Link,
    page_ref::PageRef,
    rundown::Inside,
    stack::{Node, Stack},
    sync::{AtomicBool, Ordering::*},
};
use crate::{KBox, Passive, Result, Status};
use core::{mem::MaybeUninit, num::NonZeroUsize, ops::Range, ptr::NonNull};

/// What there is to free.
#[repr(C)]
struct Record {
    /// First: a list of nodes is one of records.
    node: Node,
    /// The device had it when it was dropped.
    is_kept: AtomicBool,
    link: Link,
    dma: DmaId,
    made: Made,
    /// [`free`]: by an address, so that a plugin without transfers is not linked with it.
    free: unsafe fn(NonNull<Record>),
}

/// What was made.
enum Made {
    Coherent(CoherentMemory),
    /// The pages, and how much of them.
    Mapping {
        raw: NonNull<RawMapping>,
        _pages: PageRef,
        len: usize,
    },
}

impl Made {
    /// In bytes.
    fn len(&self) -> usize {
        match self {
            Self::Coherent(memory) => memory.len.get(),
            Self::Mapping { len, .. } => *len,
        }
    }

    /// Gives it back to the port.
    ///
    /// # Safety
    /// Made by the port with this `dma`, which is open; the device has done with it, and it is not used again.
    unsafe fn free(self, dma: DmaId) {
        match self {
            // SAFETY: the caller's promise.
            Self::Coherent(memory) => unsafe { kernel::coherent_free(dma, memory) },
            // SAFETY: the caller's promise; the pages go after it.
            Self::Mapping { raw, .. } => unsafe { kernel::dma_unmap(dma, raw) },
        }
    }
}

/// The owner of memory for transfers. INVARIANT: a record of a KBox, which is this one's alone.
pub(crate) struct DmaMemory(NonNull<Record>);
// SAFETY: the record's parts are Send: plain numbers, atomics and a link.
unsafe impl Send for DmaMemory {}
// SAFETY: shared references read plain numbers, and change atomics.
unsafe impl Sync for DmaMemory {}

impl DmaMemory {
    /// `len` bytes that the device and the processor share, whole pages, zeroed. Errors: `DEVICE_GONE`, `NO_MEMORY`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn coherent(
        cx: &mut Passive,
        link: &Link,
        dma: DmaId,
        len: NonZeroUsize,
    ) -> Result<(Self, CoherentMemory)> {
        let _inside = may_make(link)?;
        let memory = kernel::coherent_alloc(dma, len).ok_or(Status::NO_MEMORY)?;
        // SAFETY: just made with this `dma`, which is open while `_inside` is there.
        let record = unsafe { Self::new(cx, link, dma, Made::Coherent(memory))? };
        Ok((record, memory))
    }

    /// Maps `range` of pages, in bytes, which they have. `bus` has a place for each page that it touches. Errors: `DEVICE_GONE`, `NO_MEMORY`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn mapping(
        cx: &mut Passive,
        link: &Link,
        dma: DmaId,
        pages: &PageRef,
        range: Range<usize>,
        direction: DmaDirection,
        bus: &mut [u64],
    ) -> Result<(Self, NonNull<RawMapping>)> {
        let _inside = may_make(link)?;
        let len = range.len();
        // SAFETY: the pages are alive: the record has a reference of its own. The callers have seen that they have so many bytes.
        let raw = unsafe { kernel::dma_map(dma, pages.raw(), range.start, len, direction, bus)? };
        let made = Made::Mapping { raw, _pages: pages.clone(), len };
        // SAFETY: just made with this `dma`, which is open while `_inside` is there.
        let record = unsafe { Self::new(cx, link, dma, made)? };
        Ok((record, raw))
    }

    /// The owner of what was made. It is given back if that fails.
    ///
    /// # Safety
    /// `made` is of the port, with this `dma`, which is open, and nobody else's.
    #[cfg_attr(kp_driver, optimize(size))]
    unsafe fn new(cx: &mut Passive, link: &Link, dma: DmaId, made: Made) -> Result<Self> {
        // Memory first: a box that cannot be made would drop what is to be given back.
        let place = match link.dma().swap_spare(None) {
            Some(spare) => Ok(spare.cast::<Record>()),
            None => KBox::new(cx, MaybeUninit::<Record>::uninit()).map(|place| place.into_raw().cast()),
        };
        match place {
            Ok(record) => {
                let value =
                    Record { node: Node::new(), is_kept: AtomicBool::new(false), link: link.clone(), dma, made, free };
                // SAFETY: memory of a record's layout, which is nobody else's.
                unsafe { record.write(value) };
                link.dma().alive.fetch_add(1, Relaxed);
                Ok(Self(record))
            }
            Err(error) => {
                // SAFETY: the caller's promise.
                unsafe { made.free(dma) };
                Err(error)
            }
        }
    }

    fn record(&self) -> &Record {
        // SAFETY: the invariant.
        unsafe { self.0.as_ref() }
    }

    /// From now on it is kept when it is dropped, until the device has stopped. Any level.
    pub(crate) fn keep(&self) {
        self.record().is_kept.store(true, Relaxed);
    }
}

impl Drop for DmaMemory {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        let record = self.record();
        let link = record.link.clone(); // as the record may go
        let device = link.dma();
        // Once the device is gone its record in the port may be too: what is dropped then stays for good, and was said to.
        let Some(_inside) = device.enter() else { return };
        if record.is_kept.load(Relaxed) && !device.is_stopped() {
            device.quarantined.fetch_add(record.made.len(), Relaxed);
            // SAFETY: the record is this one's alone, and from here on the list's.
            unsafe { device.quarantine.push(self.0.cast()) };
        } else {
            // SAFETY: the record is this one's alone, and not used again; `_inside` keeps the device's transfers open.
            unsafe { free(self.0) };
        }
    }
}

/// To make memory for a device's transfers. Errors: `DEVICE_GONE`; `NO_MEMORY` if too much is kept already.
fn may_make(link: &Link) -> Result<Inside<'_>> {
    let device = link.dma();
    let inside = device.enter().ok_or(Status::DEVICE_GONE)?;
    if device.is_full() { Err(Status::NO_MEMORY.into()) } else { Ok(inside) }
}

/// Frees memory, and its record.
///
/// # Safety
/// The record came from a KBox, is nobody else's, and is not used again; the device's transfers are open, and it has done with the memory.
#[cfg_attr(kp_driver, optimize(size))]
unsafe fn free(record: NonNull<Record>) {
    // SAFETY: a live record, by the caller's promise; from here on only the copy counts.
    let Record { link, dma, made, .. } = unsafe { record.read() };
    // SAFETY: made with this `dma`, and freed once; the rest is the caller's promise.
    unsafe { made.free(dma) };
    // SAFETY: memory of a record of a KBox, which nobody uses any more.
    unsafe { free_spare(link.dma().swap_spare(Some(record.cast()))) };
    link.dma().alive.fetch_sub(1, Release);
}

/// Frees memory that was kept for a record.
///
/// # Safety
/// It came from a KBox of a record, which was read out of it, and is nobody else's.
unsafe fn free_spare(memory: Option<NonNull<Node>>) {
    if let Some(memory) = memory {
        // SAFETY: the caller's promise.
        drop(unsafe { KBox::from_raw(memory.cast::<MaybeUninit<Record>>()) });
    }
}

/// Frees the memory that is kept for a device's next record. There is none from now on: the device's transfers are over.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn end_spare(device: &DeviceDma) {
    // SAFETY: what is kept is memory of a freed record, and whoever takes it has it alone.
    unsafe { free_spare(device.swap_spare(None)) };
}

/// Frees all that is kept for a device.
///
/// # Safety
/// The device reaches none of it any more, and its transfers are open.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) unsafe fn empty(quarantine: &Stack, freed: impl Fn(usize)) {
    quarantine.take_all(|node| {
        let record = node.cast::<Record>();
        // SAFETY: a node in quarantine is the first field of a record, which only this has now.
        freed(unsafe { record.as_ref() }.made.len());
        // SAFETY: as above.
        let free = unsafe { record.as_ref() }.free;
        // SAFETY: pushed by `drop`, and taken out of the list once; the rest is the caller's promise.
        unsafe { free(record) };
    });
}
