//! The kernel's memory: every byte counted, filled with a poison pattern, and freed only as it was allocated.
use crate::page::PAGE;
use std::{
    alloc::{self, Layout},
    collections::BTreeMap,
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
    shared: BTreeMap<usize, Arc<Shared>>,
    /// Freed at Irql, to be given back later.
    late: Vec<Late>,
}

/// Zeroed pages that an app can map. They live as long as the kernel has them, or an app.
pub(crate) struct Shared {
    start: NonNull<u8>,
    layout: Layout,
}
// SAFETY: plain memory; both sides use it by atomic words.
unsafe impl Send for Shared {}
// SAFETY: plain memory; both sides use it by atomic words.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(len: usize) -> Option<Self> {
        let layout = Layout::from_size_align(len, PAGE).ok().filter(|layout| layout.size() != 0)?;
        // SAFETY: the layout has bytes.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })?;
        Some(Self { start, layout })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: of `new` with this layout, and nobody has it any more.
        unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Something whose freeing was put off.
pub(crate) enum Late {
    Memory { address: usize, size: usize, align: usize },
    Lock(u32),
    Mapping { base: usize, len: usize },
}

impl Heap {
    /// What is alive: blocks, and shared pages.
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
        let Some(shared) = Shared::new(len) else { return ptr::null_mut() };
        let start = shared.start().as_ptr();
        self.shared.insert(start.expose_provenance(), Arc::new(shared));
        start
    }

    /// The kernel gives shared pages up. Errors: how the caller is wrong.
    pub(crate) fn unshare(&mut self, address: usize, len: usize) -> Result<(), String> {
        let Some(shared) = self.shared.remove(&address) else {
            return Err("shared memory was freed that is not there, or is free already".to_owned());
        };
        let has = shared.layout.size();
        if has != len {
            return Err(format!("shared memory of {has} bytes was freed as {len} bytes"));
        }
        Ok(())
    }

    /// What the kernel shares at this address.
    pub(crate) fn shared(&self, address: usize) -> Option<Arc<Shared>> {
        self.shared.get(&address).cloned()
    }

    /// Puts a freeing off.
    pub(crate) fn defer(&mut self, late: Late) {
        self.late.push(late);
    }

    /// The next freeing that was put off.
    pub(crate) fn next_late(&mut self) -> Option<Late> {
        self.late.pop()
    }
}
