//! What the machine does for a device's own transfers.
use super::Machine;
use crate::{
    dma::pieces,
    heap::{Mapping, PageBlock, Pages},
    misuse::misuse,
};
use kp_core::{
    DmaLimits, Result, Status,
    host::{CoherentMemory, DmaDirection},
};
use std::{num::NonZeroUsize, ops::Range, ptr::NonNull, sync::Arc};

impl Machine {
    pub(crate) fn open_dma(&self, limits: &DmaLimits) -> Result<()> {
        if self.fails() {
            return Err(Status::NO_DMA.into());
        }
        self.bus.with_dma(|dma| dma.limit = limits.highest());
        Ok(())
    }

    pub(crate) fn alloc_coherent(&self, len: NonZeroUsize) -> Option<CoherentMemory> {
        if self.fails() {
            return None;
        }
        let block = Arc::new(PageBlock::new(len.get())?);
        let bus = self.bus.with_dma(|dma| dma.map_coherent(block.clone()))?;
        let start = self.state().heap.add_coherent(block, bus);
        Some(CoherentMemory { start, bus, len })
    }

    pub(crate) fn free_coherent(&self, address: usize, len: usize) {
        let taken = self.state().heap.take_coherent(address, len);
        let bus = taken.unwrap_or_else(|wrong| misuse(&wrong));
        self.bus.with_dma(|dma| dma.unmap(bus));
    }

    pub(crate) fn alloc_pages(&self, len: NonZeroUsize) -> Option<usize> {
        if self.fails() {
            return None;
        }
        let block = Arc::new(PageBlock::new(len.get())?);
        Some(self.add_pages(Pages { block, offset: 0, len: len.get(), is_pinned: false }))
    }

    pub(crate) fn add_pages(&self, pages: Pages) -> usize {
        self.state().heap.add_pages(pages)
    }

    /// Where the kernel has them.
    pub(crate) fn pages_at(&self, number: usize) -> Option<NonNull<u8>> {
        if self.fails() {
            return None;
        }
        let pages = self.find_pages(number);
        // SAFETY: a part of the block.
        Some(unsafe { pages.block.start().add(pages.offset) })
    }

    fn find_pages(&self, number: usize) -> Pages {
        let pages = self.state().heap.pages(number).cloned();
        pages.unwrap_or_else(|| misuse("pages were used that are not there, or are free already"))
    }

    /// Maps pages for the device.
    pub(crate) fn map_pages(
        &self,
        number: usize,
        range: Range<usize>,
        direction: DmaDirection,
        bus: &mut [u64],
    ) -> Option<usize> {
        let pages = self.find_pages(number);
        if range.end > pages.len || bus.len() != pieces(range.clone()).count() {
            misuse(
                "more of some pages was mapped for the device than there is, or their addresses have not as many places",
            );
        }
        if self.fails() {
            return None;
        }
        self.bus.with_dma(|dma| dma.map_pages(&pages, range.clone(), direction, bus))?;
        Some(self.state().heap.add_mapping(Mapping { pages: number, range, bus: bus.to_vec() }))
    }

    pub(crate) fn unmap_pages(&self, number: usize) {
        let taken = self.state().heap.take_mapping(number);
        let mapping = taken.unwrap_or_else(|wrong| misuse(&wrong));
        self.bus.with_dma(|dma| mapping.bus.iter().for_each(|at| _ = dma.unmap(*at)));
    }

    /// Copies a mapping to what the device sees, or back.
    pub(crate) fn sync_pages(&self, number: usize, for_device: bool) {
        let state = self.state();
        let Some((mapping, pages)) =
            state.heap.mapping(number).and_then(|mapping| Some((mapping, state.heap.pages(mapping.pages)?.clone())))
        else {
            drop(state);
            misuse("a mapping for the device was used that is not there, or is unmapped already")
        };
        let (bus, range) = (mapping.bus.clone(), mapping.range.clone());
        drop(state);
        self.bus.with_dma(|dma| dma.sync(&bus, &pages, range, for_device));
    }
}
