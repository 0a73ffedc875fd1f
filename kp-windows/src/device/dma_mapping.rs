//! Pages that are mapped for a device.
//!
//! Where the kernel's list has the pages themselves, the device and the processor use the same memory, and nothing is ever to be copied. Where it has
//! other addresses, map registers may stand between, and Microsoft's pages do not say how to sync those more than once; there the mapping is a copy of this
//! port's own, in memory that both see.
use crate::{
    device::{dma::Adapter, dma_list::List},
    kernel::{
        late::{self, LateNode},
        leaks,
        pages::Pages,
        pool_box::PoolBox,
    },
    nt::*,
};
use core::{num::NonZeroUsize, ptr::NonNull};
use kp_abi::Status;
use kp_core::host::{CoherentMemory, DmaDirection};

/// A page, in bytes.
const PAGE: usize = 4096;

/// See the module. A user of its pages.
#[repr(C)]
pub(crate) struct Mapping {
    late: LateNode,
    adapter: *const Adapter,
    pages: NonNull<Pages>,
    direction: DmaDirection,
    seen: Seen,
    /// Of the list, as long as there is one.
    context: TransferContext,
}

/// What the device sees.
enum Seen {
    /// Nothing yet.
    Nothing,
    /// The pages themselves.
    Pages(List),
    /// A copy of the bytes from here on.
    Copy { memory: CoherentMemory, skip: usize, bytes: NonNull<u8>, len: usize },
}

impl Mapping {
    /// Maps `len` bytes of pages, from `offset` on, and says where the device has the first byte, and the beginning of each further page. NoMemory.
    /// Passive.
    ///
    /// # Safety
    /// The pages have these bytes, and the caller is a user of theirs; the adapter is open until this is undone.
    pub(crate) unsafe fn new(
        adapter: &Adapter,
        pages: NonNull<Pages>,
        offset: usize,
        len: usize,
        direction: DmaDirection,
        bus: &mut [u64],
    ) -> Result<NonNull<Self>, Status> {
        adapter.drain();
        let mapping = PoolBox::with(|| Self {
            late: LateNode::new(free_late),
            adapter,
            pages,
            direction,
            seen: Seen::Nothing,
            context: TransferContext::UNUSED,
        });
        let mut mapping = mapping.ok_or(Status::NO_MEMORY)?;
        // SAFETY: the caller is a user.
        let used = unsafe { pages.as_ref() };
        // SAFETY: the caller's promise; the mapping keeps the context as long as the list.
        let seen = match unsafe { mapping.list(adapter, used, offset, len, bus) }? {
            Some(list) => Seen::Pages(list),
            None => copy(adapter, used, offset, len, bus).ok_or(Status::NO_MEMORY)?,
        };
        mapping.seen = seen;
        used.add_user();
        leaks::DMA.made_for_dma();
        let mapping = mapping.into_raw();
        // SAFETY: just made.
        let made = unsafe { mapping.as_ref() };
        // The device sees what the pages have by now. A copy begins with that whatever its direction: the device may write less than all of it.
        made.copy(true);
        made.flush(false);
        Ok(mapping)
    }

    /// The list of the pages themselves, with their addresses in `bus`. None: the device has them elsewhere. NoMemory.
    ///
    /// The first list is for the device's reading: given back, it writes nothing to the pages, whatever stands between.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    unsafe fn list(
        &mut self,
        adapter: &Adapter,
        pages: &Pages,
        offset: usize,
        len: usize,
        bus: &mut [u64],
    ) -> Result<Option<List>, Status> {
        let bytes = u32::try_from(len).map_err(|_| Status::NO_MEMORY)?;
        let mut get = |to_device| {
            // SAFETY: the caller's promise.
            let list = unsafe { List::get(adapter, &mut self.context, pages.mdl(), offset, bytes, to_device) };
            list.ok_or(Status::NO_MEMORY)
        };
        // SAFETY: a list of pages that stay, with these bytes.
        let is_direct = |list: &List, bus: &mut [u64]| unsafe { addresses(list, pages.mdl(), offset, adapter, bus) };
        let list = get(true)?;
        if !is_direct(&list, bus) {
            list.put(adapter);
            return Ok(None);
        }
        if self.direction == DmaDirection::ToDevice {
            return Ok(Some(list));
        }
        list.put(adapter);
        let list = get(false)?;
        if !is_direct(&list, bus) {
            list.put(adapter);
            return Err(Status::NO_MEMORY);
        }
        Ok(Some(list))
    }

    /// Does the device see what the processor writes without a sync? Not on a machine that may have caches of its own.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.seen, Seen::Pages(_)) && cfg!(target_arch = "x86_64")
    }

    /// The device sees what the processor has written, or the other way round. Up to DISPATCH_LEVEL.
    pub(crate) fn sync(&self, for_device: bool) {
        self.flush(!for_device);
        match (for_device, self.direction) {
            (true, DmaDirection::FromDevice) | (false, DmaDirection::ToDevice) => {}
            _ => self.copy(for_device),
        }
    }

    /// Copies to what the device sees, or back.
    fn copy(&self, to_device: bool) {
        let Seen::Copy { memory, skip, bytes, len } = &self.seen else { return };
        // SAFETY: inside of it: it has as many pages as the range touches.
        let seen = unsafe { memory.start.add(*skip) };
        let (from, to) = if to_device { (*bytes, seen) } else { (seen, *bytes) };
        // SAFETY: both have so many bytes, at the same place in their pages, and do not overlap.
        unsafe { copy_words(from.as_ptr(), to.as_ptr(), *len) };
    }

    /// On a machine whose devices do not see the processor's caches: writes those back.
    #[cfg(target_arch = "aarch64")]
    fn flush(&self, is_read: bool) {
        let (Seen::Pages(_), Some(flush)) = (&self.seen, crate::kernel::optional::FLUSH_IO_BUFFERS.get()) else {
            return;
        };
        // SAFETY: a user of the pages.
        let mdl = unsafe { self.pages.as_ref() }.mdl();
        // SAFETY: the kernel's list of pages that stay.
        unsafe { flush(mdl, is_read.into(), 1) };
    }
    #[cfg(not(target_arch = "aarch64"))]
    fn flush(&self, _: bool) {}

    /// Undoes [`new`](Self::new). Any level.
    ///
    /// # Safety
    /// The device has done with it, and it is not used again.
    pub(crate) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: the caller's promise. The node is the first field.
        unsafe { late::at_dispatch(this.cast()) };
    }
}

unsafe fn free_late(node: NonNull<LateNode>) {
    // SAFETY: the node of a mapping, by `free`.
    let mut mapping = unsafe { PoolBox::from_raw(node.cast::<Mapping>()) };
    // SAFETY: open: closing waits for this.
    let adapter = unsafe { &*mapping.adapter };
    match core::mem::replace(&mut mapping.seen, Seen::Nothing) {
        Seen::Nothing => {}
        Seen::Pages(list) => list.put(adapter),
        // SAFETY: of this adapter, and nobody uses it any more.
        Seen::Copy { memory, .. } => unsafe { adapter.free(memory) },
    }
    let pages = mapping.pages;
    drop(mapping);
    // SAFETY: the mapping was a user, and is gone.
    unsafe { Pages::leave(pages) };
    leaks::DMA.gone();
}

/// To `bus` where the list has the first byte, and the beginning of each further page. True: it has the pages themselves, all of them within what the
/// device reaches.
///
/// # Safety
/// `mdl` is the list's, and has these bytes.
unsafe fn addresses(list: &List, mdl: *mut Mdl, offset: usize, adapter: &Adapter, bus: &mut [u64]) -> bool {
    let pfns = mdl.wrapping_add(1).cast::<u64>();
    let mut at = offset;
    let mut places = bus.iter_mut();
    for element in list.elements() {
        let (mut address, mut left) = (element.address, element.length as usize);
        while left != 0 {
            // SAFETY: the number of a page that the list has.
            let pfn = unsafe { pfns.wrapping_add(at / PAGE).read() };
            let piece = (PAGE - at % PAGE).min(left);
            let is_there = address == pfn * PAGE as u64 + (at % PAGE) as u64;
            if !is_there || address + (piece as u64 - 1) > adapter.highest {
                return false;
            }
            if at == offset || at.is_multiple_of(PAGE) {
                let Some(place) = places.next() else { return false };
                *place = address;
            }
            (at, address, left) = (at + piece, address + piece as u64, left - piece);
        }
    }
    places.next().is_none()
}

/// A place for a copy of the bytes, with its addresses in `bus`. None: no memory. Passive.
fn copy(adapter: &Adapter, pages: &Pages, offset: usize, len: usize, bus: &mut [u64]) -> Option<Seen> {
    let skip = offset % PAGE;
    // SAFETY: inside of the pages, as the caller of `Mapping::new` promises.
    let bytes = unsafe { pages.map()?.add(offset) };
    let memory = adapter.allocate(NonZeroUsize::new((skip + len).next_multiple_of(PAGE))?)?;
    for (page, place) in bus.iter_mut().enumerate() {
        *place = memory.bus + if page == 0 { skip } else { page * PAGE } as u64;
    }
    Some(Seen::Copy { memory, skip, bytes, len })
}

/// Copies bytes that somebody else may use too: by aligned words, and single bytes at both ends.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes; they begin at the same place in a word, and do not overlap.
unsafe fn copy_words(from: *const u8, to: *mut u8, len: usize) {
    let mut at = 0;
    while at < len {
        let (from, to) = (from.wrapping_add(at), to.wrapping_add(at));
        if from.addr().is_multiple_of(8) && len - at >= 8 {
            // SAFETY: in bounds and aligned.
            let word = unsafe { from.cast::<u64>().read_volatile() };
            // SAFETY: in bounds and aligned.
            unsafe { to.cast::<u64>().write_volatile(word) };
            at += 8;
        } else {
            // SAFETY: in bounds.
            let byte = unsafe { from.read_volatile() };
            // SAFETY: in bounds.
            unsafe { to.write_volatile(byte) };
            at += 1;
        }
    }
}
