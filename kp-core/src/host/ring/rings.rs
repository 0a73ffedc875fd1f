//! A session's ring, as data.
#![deny(unsafe_code)]
use super::slot::Slot;
use crate::host::{kernel_page::PageSlot, shared_memory::SharedMemory};
use kp_abi::ring::{Layout, queue::DriverSide};

/// A session's ring, if it has one.
pub(in crate::host) struct Rings {
    pub(super) ring: Slot<Ring>,
    page: PageSlot,
}

/// A ring: its shared memory, and what the driver knows of it.
pub(super) struct Ring {
    pub(super) memory: SharedMemory,
    pub(super) layout: Layout,
    pub(super) entries: u32,
    /// What the driver knows of it, in memory of its own.
    pub(super) side: DriverSide,
}

impl Rings {
    pub(in crate::host) fn new() -> Self {
        Self { ring: Slot::new(), page: PageSlot::new() }
    }

    /// The session's kernel page, if it has one.
    pub(in crate::host) fn page(&self) -> &PageSlot {
        &self.page
    }

    /// The session is torn down: no request enters the ring or maps it any more, and one that is in it leaves after the message that runs.
    pub(in crate::host) fn revoke(&self) {
        self.ring.revoke();
    }
}
