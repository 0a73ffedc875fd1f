//! Memory that was made for a device's transfers: freed when it is dropped, or kept until the device has stopped.
//!
//! Each has a record, from which it is freed wherever that is. A mapping's record has all of it, so that whoever has a mapping has one address: it is
//! moved from hand to hand.
use super::{
    CoherentMemory, DmaId, kernel,
    link::Link,
    rundown::Inside,
    stack::{Node, Stack},
    sync::{AtomicBool, AtomicUsize, Ordering::*},
};
use crate::{KBox, Passive, Result, Status};
use core::{
    mem::{ManuallyDrop, MaybeUninit},
    num::NonZeroUsize,
    ops::Deref,
    ptr::{self, NonNull},
};

/// What there is to free, whatever it is.
#[repr(C)]
struct Header {
    /// First: a list of nodes is one of headers.
    node: Node,
    /// The device had it when it was dropped.
    is_kept: AtomicBool,
    link: Link,
    dma: DmaId,
    /// What is kept with it and with nothing before it, in bytes.
    kept: AtomicUsize,
    /// [`free`] of the record: by an address, so that a plugin without transfers is not linked with it.
    free: unsafe fn(NonNull<Header>) -> Link,
}

/// See the module.
#[repr(C)]
struct Record<M> {
    /// First: a header's address is its record's.
    header: Header,
    made: M,
}

/// What was made.
pub(crate) trait Made: Sized {
    /// Is the memory of its record kept for the device's next one? A device has one mapping after the other. One kind at most is.
    const RECORD_IS_SPARED: bool;

    /// It is kept for the device from now on. How much is that was not before, in bytes.
    fn begin_keep(&self) -> usize;

    /// It is kept no more, nor is what was with it alone, if that was any.
    fn end_keep(&self) {}

    /// Gives it back to the port.
    ///
    /// # Safety
    /// Made by the port with this `dma`, which is open; the device has done with it, and it is not used again.
    unsafe fn free(self, dma: DmaId);
}

impl Made for CoherentMemory {
    const RECORD_IS_SPARED: bool = false;

    fn begin_keep(&self) -> usize {
        self.len.get()
    }

    unsafe fn free(self, dma: DmaId) {
        // SAFETY: the caller's promise.
        unsafe { kernel::coherent_free(dma, self) }
    }
}

/// The owner of memory for transfers. INVARIANT: a record of a KBox, which is this one's alone.
pub(crate) struct DmaMemory<M: Made>(NonNull<Record<M>>);
// SAFETY: the record's parts may be used and freed on any thread: plain numbers, atomics, a link, and the port's names for memory.
unsafe impl<M: Made> Send for DmaMemory<M> {}
// SAFETY: shared references read plain numbers, and change atomics.
unsafe impl<M: Made> Sync for DmaMemory<M> {}

impl DmaMemory<CoherentMemory> {
    /// `len` bytes that the device and the processor share, whole pages, zeroed. Errors: `DEVICE_GONE`, `NO_MEMORY`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn coherent(cx: &mut Passive, link: &Link, dma: DmaId, len: NonZeroUsize) -> Result<Self> {
        let _inside = may_make(link, || false)?;
        let place = Place::new(cx, link)?;
        let memory = kernel::coherent_alloc(dma, len).ok_or(Status::NO_MEMORY)?;
        // SAFETY: just made with this `dma`, which is open while `_inside` is there.
        Ok(unsafe { place.fill(dma, memory) })
    }
}

/// Memory for a record. It is had before there is something to record, which so is never in nobody's hands.
pub(super) struct Place<M: Made> {
    record: NonNull<Record<M>>,
    link: Link,
}

impl<M: Made> Place<M> {
    /// Errors: `NO_MEMORY`.
    #[inline(always)]
    pub(super) fn new(cx: &mut Passive, link: &Link) -> Result<Self> {
        let spare = if M::RECORD_IS_SPARED { link.dma().swap_spare(None) } else { None };
        let record = match spare {
            Some(spare) => spare.cast(),
            None => Self::alloc(cx)?,
        };
        link.dma().alive.fetch_add(1, Relaxed);
        Ok(Self { record, link: link.clone() })
    }

    #[cfg_attr(kp_driver, optimize(size), inline(never))]
    fn alloc(cx: &mut Passive) -> Result<NonNull<Record<M>>> {
        Ok(KBox::new(cx, MaybeUninit::<Record<M>>::uninit())?.into_raw().cast())
    }

    /// The owner of what was made.
    ///
    /// # Safety
    /// `made` is of the port, with this `dma`, which is open, and nobody else's.
    #[inline(always)]
    pub(super) unsafe fn fill(self, dma: DmaId, made: M) -> DmaMemory<M> {
        let this = ManuallyDrop::new(self);
        // SAFETY: taken once: `this` does not drop.
        let link = unsafe { ptr::read(&this.link) };
        let (node, is_kept, kept) = (Node::new(), AtomicBool::new(false), AtomicUsize::new(0));
        let header = Header { node, is_kept, link, dma, kept, free: free::<M> };
        // SAFETY: memory of a record's layout, which is nobody else's.
        unsafe { this.record.write(Record { header, made }) };
        DmaMemory(this.record)
    }
}

impl<M: Made> Drop for Place<M> {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        // SAFETY: of a KBox, and nobody has it.
        unsafe { free_record::<M>(Some(self.record.cast())) };
        self.link.dma().alive.fetch_sub(1, Release);
    }
}

impl<M: Made> DmaMemory<M> {
    /// What it was made with, for the port.
    #[inline]
    pub(super) fn dma(&self) -> DmaId {
        self.record().header.dma
    }

    fn record(&self) -> &Record<M> {
        // SAFETY: the invariant.
        unsafe { self.0.as_ref() }
    }

    /// From now on it is kept when it is dropped, until the device has stopped. Any level.
    pub(crate) fn keep(&self) {
        self.record().header.is_kept.store(true, Relaxed);
    }
}

impl<M: Made> Deref for DmaMemory<M> {
    type Target = M;
    #[inline]
    fn deref(&self) -> &M {
        &self.record().made
    }
}

impl<M: Made> Drop for DmaMemory<M> {
    fn drop(&mut self) {
        let header = &self.record().header;
        if header.is_kept.load(Relaxed) {
            return self.end_kept();
        }
        let device = ptr::from_ref(header.link.dma());
        // SAFETY: as long as the record, or the link that its end gives.
        let device = unsafe { &*device };
        // Once the device is gone its record in the port may be too: what is dropped then stays for good, and was said to.
        let Some(inside) = device.enter() else { return };
        // SAFETY: the record is this one's alone, and not used again; `inside` keeps the device's transfers open.
        let link = unsafe { free::<M>(self.0.cast()) };
        drop(inside);
        drop(link);
    }
}

impl<M: Made> DmaMemory<M> {
    /// The end of what the device had.
    #[cfg_attr(kp_driver, optimize(size))]
    #[cold]
    #[inline(never)]
    fn end_kept(&self) {
        let header = &self.record().header;
        let link = header.link.clone(); // as the record may go
        let device = link.dma();
        let Some(_inside) = device.enter() else { return };
        if device.is_stopped() {
            // SAFETY: the record is this one's alone, and not used again, as this is its drop; `_inside` keeps the device's transfers open.
            drop(unsafe { free::<M>(self.0.cast()) });
        } else {
            let kept = self.record().made.begin_keep();
            header.kept.store(kept, Relaxed);
            device.quarantined.fetch_add(kept, Relaxed);
            // SAFETY: the record is this one's alone, and from here on the list's.
            unsafe { device.quarantine.push(self.0.cast()) };
        }
    }
}

/// To make memory for a device's transfers. Errors: `DEVICE_GONE`; `NO_MEMORY` if too much is kept already, and it `is_counted` not among that.
#[inline(always)]
pub(super) fn may_make(link: &Link, is_counted: impl FnOnce() -> bool) -> Result<Inside<'_>> {
    let device = link.dma();
    let inside = device.enter().ok_or(Status::DEVICE_GONE)?;
    if device.is_full() && !is_counted() { Err(Status::NO_MEMORY.into()) } else { Ok(inside) }
}

/// Frees memory, and its record. What is left of that is the link.
///
/// # Safety
/// The header is a `Record<M>`'s, which came from a KBox, is nobody else's, and is not used again; the device's transfers are open, and it has done with
/// the memory.
unsafe fn free<M: Made>(header: NonNull<Header>) -> Link {
    let record = header.cast::<Record<M>>();
    // SAFETY: a live record, by the caller's promise; from here on only the copy counts.
    let Record { header: Header { link, dma, kept, .. }, made } = unsafe { record.read() };
    if kept.load(Relaxed) != 0 {
        made.end_keep();
    }
    // SAFETY: made with this `dma`, and freed once; the rest is the caller's promise.
    unsafe { made.free(dma) };
    let memory = if M::RECORD_IS_SPARED { link.dma().swap_spare(Some(record.cast())) } else { Some(record.cast()) };
    // SAFETY: memory of a record of a KBox, which nobody uses any more. What is spared is of one kind.
    unsafe { free_record::<M>(memory) };
    link.dma().alive.fetch_sub(1, Release);
    link
}

/// Frees a record's memory.
///
/// # Safety
/// It came from a KBox of a record, which was read out of it, and is nobody else's.
#[inline]
pub(super) unsafe fn free_record<M>(memory: Option<NonNull<Node>>) {
    if let Some(memory) = memory {
        // SAFETY: the caller's promise.
        drop(unsafe { KBox::from_raw(memory.cast::<MaybeUninit<Record<M>>>()) });
    }
}

/// Frees all that is kept for a device.
///
/// # Safety
/// The device reaches none of it any more, and its transfers are open.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) unsafe fn empty(quarantine: &Stack, freed: impl Fn(usize)) {
    quarantine.take_all(|node| {
        let header = node.cast::<Header>();
        // SAFETY: a node in quarantine is the first field of a header, which only this has now.
        let Header { ref kept, free, .. } = *unsafe { header.as_ref() };
        freed(kept.load(Relaxed));
        // SAFETY: pushed by `drop`, and taken out of the list once; the rest is the caller's promise.
        drop(unsafe { free(header) });
    });
}
