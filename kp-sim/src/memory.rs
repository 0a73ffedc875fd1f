//! The kernel's memory: every byte counted, filled with rubbish, and freed only as it was allocated.
use crate::{
    context::{Context, IRQL},
    machine::Machine,
    misuse::misuse,
    user::PAGE,
};
use std::{
    alloc::{self, Layout},
    collections::BTreeMap,
    fmt,
    ptr::{self, NonNull},
    sync::{Arc, atomic::Ordering::Relaxed},
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
// SAFETY: as above.
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
    Lock(usize),
    Mapping { base: usize, len: usize },
}

/// What a kernel has given out and not got back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Blocks of memory, and what the kernel shares with apps.
    pub allocations: usize,
    /// Locks, of all kinds.
    pub locks: usize,
    /// Things to wait on.
    pub wait_queues: usize,
    /// Mapped BARs.
    pub mappings: usize,
    /// 1 if the device's vectors are taken.
    pub interrupts: usize,
    /// Handles that apps hold.
    pub handles: usize,
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocations, locks, wait_queues, mappings, interrupts, handles } = self;
        write!(
            f,
            "{allocations} allocations, {locks} locks, {wait_queues} wait queues, {mappings} mappings, {interrupts} interrupts, \
             {handles} handles"
        )
    }
}

impl Machine {
    pub(crate) fn live(&self) -> Live {
        let state = self.state();
        Live {
            allocations: state.heap.blocks.len() + state.heap.shared.len(),
            locks: state.locks.count(),
            wait_queues: state.wait_queues as usize,
            mappings: self.bus.mappings(),
            interrupts: usize::from(state.vectors.are_taken()),
            handles: state.handles as usize,
        }
    }

    pub(crate) fn allocate(&self, size: usize, align: usize) -> *mut u8 {
        let Ok(layout) = Layout::from_size_align(size, align) else {
            misuse(&format!("an allocation of {size} bytes aligned to {align} makes no sense"))
        };
        if size == 0 {
            misuse("an allocation of no bytes");
        }
        if self.fails() {
            return ptr::null_mut();
        }
        // SAFETY: the layout has bytes.
        let memory = unsafe { alloc::alloc(layout) };
        if memory.is_null() {
            return memory;
        }
        // SAFETY: just allocated, with this many bytes.
        unsafe { memory.write_bytes(NEW, size) };
        self.state().heap.blocks.insert(memory.expose_provenance(), layout);
        memory
    }

    /// Pages that an app can map; null if there are none.
    pub(crate) fn share(&self, len: usize) -> *mut u8 {
        if self.fails() {
            return ptr::null_mut();
        }
        let Some(shared) = Shared::new(len) else { return ptr::null_mut() };
        let start = shared.start().as_ptr();
        self.state().heap.shared.insert(start.expose_provenance(), Arc::new(shared));
        start
    }

    /// The kernel gives them up.
    pub(crate) fn unshare(&self, address: usize, len: usize) {
        let shared = self.state().heap.shared.remove(&address);
        let Some(shared) = shared else { misuse("shared memory was freed that is not there, or is free already") };
        if shared.layout.size() != len {
            misuse(&format!("shared memory of {} bytes was freed as {len} bytes", shared.layout.size()));
        }
    }

    /// What the kernel shares at this address, for an app that maps it.
    pub(crate) fn shared(&self, address: usize) -> Option<Arc<Shared>> {
        self.state().heap.shared.get(&address).cloned()
    }

    /// Frees now, or puts it off if the level is too high for it.
    pub(crate) fn free_or_defer(&self, context: &Context, late: Late) {
        if context.level.get() == IRQL {
            self.deferred_frees.fetch_add(1, Relaxed);
            self.state().heap.late.push(late);
        } else {
            self.free_now(late);
        }
    }

    /// Does what was put off.
    pub(crate) fn free_late(&self) {
        loop {
            let Some(late) = self.state().heap.late.pop() else { return };
            self.free_now(late);
        }
    }

    fn free_now(&self, late: Late) {
        match late {
            Late::Memory { address, size, align } => self.deallocate(address, size, align),
            Late::Lock(address) => self.drop_lock(address),
            Late::Mapping { base, len } => self.bus.unmap(base, len),
        }
    }

    fn deallocate(&self, address: usize, size: usize, align: usize) {
        let block = self.state().heap.blocks.remove(&address);
        let Some(layout) = block else { misuse("memory was freed that was never allocated, or is free already") };
        if (layout.size(), layout.align()) != (size, align) {
            misuse(&format!(
                "memory of {} bytes aligned to {} was freed as {size} bytes aligned to {align}",
                layout.size(),
                layout.align()
            ));
        }
        let memory = ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: it came from `alloc` with this layout, and the kernel's side has given it up.
        unsafe { memory.write_bytes(FREED, size) };
        // SAFETY: as above; it was taken out of the table, so this happens once.
        unsafe { alloc::dealloc(memory, layout) }
    }
}
