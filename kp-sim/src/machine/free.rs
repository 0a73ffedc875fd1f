//! The kernel's memory, and what is freed later because the level is too high for it now.
use super::Machine;
use crate::{
    heap::{Late, PageBlock},
    level::IRQL,
    misuse::misuse,
    task::Task,
};
use std::{
    alloc::Layout,
    ptr,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

impl Machine {
    pub(crate) fn allocate(&self, size: usize, align: usize) -> *mut u8 {
        let Ok(layout) = Layout::from_size_align(size, align) else {
            misuse(&format!("an allocation of {size} bytes aligned to {align} makes no sense"))
        };
        if size == 0 {
            misuse("an allocation of no bytes");
        }
        if self.fails() { ptr::null_mut() } else { self.state().heap.allocate(layout) }
    }

    /// Pages that an app can map; null if there are none.
    pub(crate) fn share(&self, len: usize) -> *mut u8 {
        if self.fails() { ptr::null_mut() } else { self.state().heap.share(len) }
    }

    /// The kernel gives them up.
    pub(crate) fn unshare(&self, address: usize, len: usize) {
        let unshared = self.state().heap.unshare(address, len);
        unshared.unwrap_or_else(|wrong| misuse(&wrong));
    }

    /// What the kernel shares at this address, for an app that maps it.
    pub(crate) fn shared(&self, address: usize) -> Option<Arc<PageBlock>> {
        self.state().heap.shared(address)
    }

    /// Frees now, or puts it off if the level is too high for it.
    pub(crate) fn free_or_defer(&self, task: &Task, late: Late) {
        if task.level.get() == IRQL {
            self.deferred_frees.fetch_add(1, Relaxed);
            self.state().heap.defer(late);
        } else {
            if let Late::Pages(_) = late {
                self.free_late(); // their mappings may be among that
            }
            self.free_now(late);
        }
    }

    /// Does what was put off.
    pub(crate) fn free_late(&self) {
        loop {
            let Some(late) = self.state().heap.next_late() else { return };
            self.free_now(late);
        }
    }

    /// The device transfers no more: what was put off is done, and nothing is left.
    pub(crate) fn close_dma(&self) {
        self.free_late();
        if self.bus.with_dma(|dma| dma.live()) != 0 {
            misuse("a device's transfers were ended, and memory is still mapped for it");
        }
    }

    fn free_now(&self, late: Late) {
        match late {
            Late::Memory { address, size, align } => {
                let freed = self.state().heap.deallocate(address, size, align);
                freed.unwrap_or_else(|wrong| misuse(&wrong));
            }
            Late::Lock(number) => self.drop_lock(number),
            Late::Mapping { base, len } => self.bus.unmap(base, len),
            Late::Coherent { address, len } => self.free_coherent(address, len),
            Late::DmaMapping(number) => self.unmap_pages(number),
            Late::Pages(number) => {
                let freed = self.state().heap.take_pages(number);
                freed.unwrap_or_else(|wrong| misuse(&wrong));
            }
        }
    }

    pub(crate) fn drop_lock(&self, number: u32) {
        let freed = self.state().locks.free(number);
        if let Err(wrong) = freed
            && !thread::panicking()
        {
            misuse(&wrong);
        }
    }
}
