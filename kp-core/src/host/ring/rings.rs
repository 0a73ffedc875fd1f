//! A session's ring, as data.
#![deny(unsafe_code)]
use super::{queues::Queues, slot::Slot};
use crate::host::{kernel_page::PageSlot, shared_memory::SharedMemory};
use kp_abi::ring::{Layout, queue::DriverSide};

/// A session's ring, if it has one.
pub(in crate::host) struct Rings {
    pub(super) ring: Slot<Ring>,
    page: PageSlot,
}

/// A ring: its shared memory, and what the driver knows of it.
pub(in crate::host) struct Ring {
    pub(super) memory: SharedMemory,
    pub(super) layout: Layout,
    pub(super) entries: u32,
    /// What the driver knows of it, in memory of its own.
    pub(super) side: DriverSide,
}

impl Ring {
    /// Its queues, if the driver's indices are in this kernel page; None: in the ring's own memory. None: they do not fit.
    pub(super) fn queues<'m>(&'m self, page: Option<&'m SharedMemory>) -> Option<Queues<'m>> {
        Queues::new(&self.memory, &self.layout, self.entries, page)
    }
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

    /// What lends the ring its memory takes it back: as [`revoke`](Self::revoke), but there may be another ring afterwards. The answer is to be dropped.
    pub(in crate::host) fn discard(&self) -> Option<Ring> {
        self.ring.discard()
    }
}
