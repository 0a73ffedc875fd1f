//! The kernel's memory: every byte counted, filled with a poison pattern, and freed only as it was allocated.
use crate::{page::PAGE, words};
use std::{
    alloc::{self, Layout},
    collections::BTreeMap,
    ops::Range,
    ptr::{self, NonNull},
    sync::Arc,
};

/// What new memory is filled with.
const NEW: u8 = 0xA5;
/// What freed memory is filled with.
const FREED: u8 = 0x5A;

/// What is alive, by address.
#[derive(Default)]
pub(crate) struct Heap {
    blocks: BTreeMap<usize, Layout>,
    /// What the kernel shares with apps, by address.
    shared: BTreeMap<usize, Arc<PageBlock>>,
    /// What it shares with the device, by address, and where the device has it.
    coherent: BTreeMap<usize, (Arc<PageBlock>, u64)>,
    /// Pages, by number.
    pages: BTreeMap<usize, Pages>,
    /// Their mappings for the device, by number.
    mappings: BTreeMap<usize, Mapping>,
    next_number: usize,
    /// Freed at Irql, to be given back later.
    late: Vec<Late>,
}

/// Zeroed pages side by side. They live as long as somebody has them: the kernel, an app, the device. All access them by atomics.
pub(crate) struct PageBlock {
    start: NonNull<u8>,
    len: usize,
    /// What was allocated, in which the pages lie.
    block: NonNull<u8>,
    layout: Layout,
}
// SAFETY: plain memory; all sides use it by atomic words.
unsafe impl Send for PageBlock {}
// SAFETY: plain memory; all sides use it by atomic words.
unsafe impl Sync for PageBlock {}

impl PageBlock {
    /// None: no memory, or no bytes.
    pub(crate) fn new(len: usize) -> Option<Self> {
        // Aligned here: an allocator that is asked for that writes the zeros itself, and a large block would be all of the test's memory.
        let layout = Layout::from_size_align(len.checked_add(PAGE)?, 8).ok().filter(|_| len != 0)?;
        // SAFETY: the layout has bytes.
        let block = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })?;
        block.as_ptr().expose_provenance();
        let skip = block.as_ptr().addr().next_multiple_of(PAGE) - block.as_ptr().addr();
        // SAFETY: less than a page, which was allocated in addition.
        let start = unsafe { block.add(skip) };
        Some(Self { start, len, block, layout })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Reads bytes, in aligned words. Panics if they are not inside.
    pub(crate) fn read(&self, at: usize, into: &mut [u8]) {
        self.check(at, into.len());
        for (place, range) in words::words(at, into.len()) {
            // SAFETY: aligned and inside, as checked; a page is aligned for each word.
            unsafe { words::load(self.start.as_ptr().addr() + place, &mut into[range]) }
        }
    }

    /// Writes bytes, in aligned words. Panics if they are not inside.
    pub(crate) fn write(&self, at: usize, from: &[u8]) {
        self.check(at, from.len());
        for (place, range) in words::words(at, from.len()) {
            // SAFETY: as for `read`.
            unsafe { words::store(self.start.as_ptr().addr() + place, &from[range]) }
        }
    }

    fn check(&self, at: usize, len: usize) {
        assert!(at <= self.len() && len <= self.len() - at, "bytes that are not inside of their pages");
    }
}

impl Drop for PageBlock {
    fn drop(&mut self) {
        // SAFETY: of `new` with this layout, and nobody has it any more.
        unsafe { alloc::dealloc(self.block.as_ptr(), self.layout) }
    }
}

/// Pages that can be mapped for the device: a part of a block, the kernel's own or an app's.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) block: Arc<PageBlock>,
    pub(crate) offset: usize,
    pub(crate) len: usize,
    /// Of an app.
    pub(crate) is_pinned: bool,
}

impl Pages {
    pub(crate) fn read(&self, at: usize, into: &mut [u8]) {
        self.block.read(self.offset + at, into);
    }

    pub(crate) fn write(&self, at: usize, from: &[u8]) {
        self.block.write(self.offset + at, from);
    }
}

/// Pages that are mapped for the device.
pub(crate) struct Mapping {
    pub(crate) pages: usize,
    /// The bytes of them, and where the device has each piece.
    pub(crate) range: Range<usize>,
    pub(crate) bus: Vec<u64>,
}

/// Something whose freeing was put off.
pub(crate) enum Late {
    Memory { address: usize, size: usize, align: usize },
    Lock(u32),
    Mapping { base: usize, len: usize },
    Coherent { address: usize, len: usize },
    DmaMapping(usize),
    Pages(usize),
}

impl Heap {
    /// What is alive: blocks, and pages that apps share.
    pub(crate) fn count(&self) -> usize {
        self.blocks.len() + self.shared.len()
    }

    /// Memory of this layout, which has bytes; null if there is none.
    pub(crate) fn allocate(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout has bytes: the one caller refuses a size of 0.
        let memory = unsafe { alloc::alloc(layout) };
        if memory.is_null() {
            return memory;
        }
        // SAFETY: just allocated, with this many bytes.
        unsafe { memory.write_bytes(NEW, layout.size()) };
        self.blocks.insert(memory.expose_provenance(), layout);
        memory
    }

    /// Frees a block. Errors: how the caller is wrong; nothing was freed then.
    pub(crate) fn deallocate(&mut self, address: usize, size: usize, align: usize) -> Result<(), String> {
        let Some(layout) = self.blocks.remove(&address) else {
            return Err("memory was freed that was never allocated, or is free already".to_owned());
        };
        if (layout.size(), layout.align()) != (size, align) {
            return Err(format!(
                "memory of {} bytes aligned to {} was freed as {size} bytes aligned to {align}",
                layout.size(),
                layout.align()
            ));
        }
        let memory = ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: it came from `alloc` with this layout, and the kernel's side has given it up.
        unsafe { memory.write_bytes(FREED, size) };
        // SAFETY: it came from `alloc` with this layout; it was taken out of the table, so this happens once.
        unsafe { alloc::dealloc(memory, layout) };
        Ok(())
    }

    /// Pages that an app can map; null if there are none.
    pub(crate) fn share(&mut self, len: usize) -> *mut u8 {
        let Some(shared) = PageBlock::new(len) else { return ptr::null_mut() };
        let start = shared.start().as_ptr();
        self.shared.insert(start.expose_provenance(), Arc::new(shared));
        start
    }

    /// The kernel gives shared pages up. Errors: how the caller is wrong.
    pub(crate) fn unshare(&mut self, address: usize, len: usize) -> Result<(), String> {
        let Some(shared) = self.shared.remove(&address) else {
            return Err("shared memory was freed that is not there, or is free already".to_owned());
        };
        let has = shared.len();
        if has != len {
            return Err(format!("shared memory of {has} bytes was freed as {len} bytes"));
        }
        Ok(())
    }

    /// What the kernel shares at this address.
    pub(crate) fn shared(&self, address: usize) -> Option<Arc<PageBlock>> {
        self.shared.get(&address).cloned()
    }

    /// What is alive of what a device can reach: memory that it shares, pages, mappings, and pinned pages among them.
    pub(crate) fn count_dma(&self) -> (usize, usize) {
        let pinned = self.pages.values().filter(|pages| pages.is_pinned).count();
        (self.coherent.len() + self.pages.len() - pinned + self.mappings.len(), pinned)
    }

    pub(crate) fn add_coherent(&mut self, block: Arc<PageBlock>, bus: u64) -> NonNull<u8> {
        let start = block.start();
        self.coherent.insert(start.as_ptr().addr(), (block, bus));
        start
    }

    /// Where the device has memory that it shares, which is given up. Errors: how the caller is wrong.
    pub(crate) fn take_coherent(&mut self, address: usize, len: usize) -> Result<u64, String> {
        let Some((block, bus)) = self.coherent.remove(&address) else {
            return Err("memory that a device shares was freed that is not there, or is free already".to_owned());
        };
        let has = block.len();
        if has == len {
            Ok(bus)
        } else {
            Err(format!("memory of {has} bytes that a device shares was freed as {len} bytes"))
        }
    }

    fn new_number(&mut self) -> usize {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn add_pages(&mut self, pages: Pages) -> usize {
        let number = self.new_number();
        self.pages.insert(number, pages);
        number
    }

    pub(crate) fn pages(&self, number: usize) -> Option<&Pages> {
        self.pages.get(&number)
    }

    /// The pinned pages that begin there.
    pub(crate) fn pinned_at(&self, address: usize) -> Vec<usize> {
        let begins = |pages: &Pages| pages.block.start().addr().get() + pages.offset == address;
        self.pages.iter().filter(|(_, pages)| pages.is_pinned && begins(pages)).map(|(number, _)| *number).collect()
    }

    /// Gives pages up. Errors: how the caller is wrong.
    pub(crate) fn take_pages(&mut self, number: usize) -> Result<(), String> {
        if self.mappings.values().any(|mapping| mapping.pages == number) {
            return Err("pages were freed that are mapped for the device".to_owned());
        }
        let pages = self.pages.remove(&number);
        pages.map(drop).ok_or("pages were freed that are not there, or are free already".to_owned())
    }

    pub(crate) fn add_mapping(&mut self, mapping: Mapping) -> usize {
        let number = self.new_number();
        self.mappings.insert(number, mapping);
        number
    }

    pub(crate) fn mapping(&self, number: usize) -> Option<&Mapping> {
        self.mappings.get(&number)
    }

    /// Gives a mapping up. Errors: how the caller is wrong.
    pub(crate) fn take_mapping(&mut self, number: usize) -> Result<Mapping, String> {
        let mapping = self.mappings.remove(&number);
        mapping.ok_or("pages were unmapped that are not mapped for the device, or are unmapped already".to_owned())
    }

    /// Puts a freeing off.
    pub(crate) fn defer(&mut self, late: Late) {
        self.late.push(late);
    }

    /// The next freeing that was put off.
    pub(crate) fn next_late(&mut self) -> Option<Late> {
        if self.late.is_empty() { None } else { Some(self.late.remove(0)) } // in order: pages go after their mappings
    }
}
