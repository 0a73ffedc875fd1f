//! What a kernel has given out: what has to be nothing at unload.
use std::fmt;

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
    /// Timers.
    pub timers: usize,
    /// Work items.
    pub work_items: usize,
    /// Handles that apps hold.
    pub handles: usize,
    /// What was made for the device's own transfers: memory that it shares, pages, mappings.
    pub dma: usize,
    /// An app's buffers that are pinned.
    pub pinned: usize,
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocations, locks, wait_queues, mappings, interrupts, timers, work_items, handles, dma, pinned } =
            self;
        write!(
            f,
            "{allocations} allocations, {locks} locks, {wait_queues} wait queues, {mappings} mappings, {interrupts} interrupts, \
             {timers} timers, {work_items} work items, {handles} handles, {dma} dma, {pinned} pinned"
        )
    }
}
