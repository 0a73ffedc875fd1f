//! A device's transfers, as far as the host has to know: what is made for them, and what is kept until the device has stopped.
use super::{
    DmaId,
    rundown::{Inside, Rundown},
    stack::{Node, Stack},
    sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::*},
};
use core::ptr::{self, NonNull};

/// A device for which more than this many bytes are kept gets no more memory for transfers.
const MAX_QUARANTINE: usize = 256 << 20;

/// See the module. A part of what a [`Link`](super::Link) leads to.
pub(crate) struct DeviceDma {
    /// The port's name for it. 0: the plugin has not asked for transfers.
    id: AtomicUsize,
    /// An IOMMU keeps the device from all memory but what was made for it.
    is_isolated: AtomicBool,
    /// It may transfer, as the plugin has said. Changed with the link's lock held.
    is_enabled: AtomicBool,
    /// Who makes or frees memory right now.
    users: Rundown,
    /// Memory records that are not freed.
    pub(super) alive: AtomicUsize,
    /// The memory of a record that was freed, for the next one: a device has one mapping after the other. Null: none. Used by who is inside, as
    /// `users` counts them.
    spare: AtomicPtr<Node>,
    /// What was dropped while the device had it.
    pub(super) quarantine: Stack,
    /// Bytes in there.
    pub(super) quarantined: AtomicUsize,
    /// The device transfers no more, for good.
    is_stopped: AtomicBool,
}

impl DeviceDma {
    pub(super) fn new() -> Self {
        Self {
            id: AtomicUsize::new(0),
            is_isolated: AtomicBool::new(false),
            is_enabled: AtomicBool::new(false),
            users: Rundown::new(),
            alive: AtomicUsize::new(0),
            spare: AtomicPtr::new(ptr::null_mut()),
            quarantine: Stack::new(),
            quarantined: AtomicUsize::new(0),
            is_stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn id(&self) -> Option<DmaId> {
        DmaId::new(self.id.load(Acquire))
    }

    /// The plugin has asked for transfers, once.
    pub(super) fn open(&self, id: DmaId, is_isolated: bool) {
        self.is_isolated.store(is_isolated, Relaxed);
        self.id.store(id.get(), Release);
    }

    pub(crate) fn is_isolated(&self) -> bool {
        self.is_isolated.load(Relaxed)
    }

    /// May it transfer, for all that the plugin has said? With the link's lock held.
    pub(super) fn is_enabled(&self) -> bool {
        self.is_enabled.load(Relaxed)
    }

    /// With the link's lock held.
    pub(super) fn set_enabled(&self, on: bool) {
        self.is_enabled.store(on, Relaxed);
    }

    /// To make memory for transfers, or to free it. None: the device is gone.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        self.users.enter()
    }

    /// From its return on nothing more is made or freed.
    pub(super) fn end(&self, wait: impl FnMut()) {
        self.users.end(wait);
    }

    /// Puts another record's memory where one is kept, or none, and gives what was there. Any level.
    pub(super) fn swap_spare(&self, memory: Option<NonNull<Node>>) -> Option<NonNull<Node>> {
        NonNull::new(self.spare.swap(memory.map_or(ptr::null_mut(), NonNull::as_ptr), AcqRel))
    }

    /// Is too much kept?
    pub(super) fn is_full(&self) -> bool {
        self.quarantined.load(Relaxed) > MAX_QUARANTINE
    }

    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Acquire)
    }
}
