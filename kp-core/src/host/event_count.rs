//! An eventcount: a number that each wake-up moves. Who reads it, looks for a reason to go on, and then waits unless it has moved, misses no
//! wake-up.
#![deny(unsafe_code)]
use super::{
    KernelWaitQueue, Timeout, WaitKind, Woken,
    sync::{AtomicU32, Ordering::*},
};
use crate::{Passive, Result};

/// See the module.
pub(crate) struct EventCount {
    count: AtomicU32,
    queue: KernelWaitQueue,
}

impl EventCount {
    pub(crate) fn new(cx: &mut Passive) -> Result<Self> {
        Ok(Self { count: AtomicU32::new(0), queue: KernelWaitQueue::new(cx)? })
    }

    /// Has each waiter look again. What it will see was written before. Passive and Dispatch.
    #[inline]
    pub(crate) fn wake(&self) {
        self.count.fetch_add(1, Release);
        self.queue.wake();
    }

    /// What [`wait`](Self::wait) is given: read it before looking for a reason to go on.
    #[inline]
    pub(crate) fn seen(&self) -> u32 {
        self.count.load(Acquire)
    }

    /// Waits for a wake-up since `seen`. Passive.
    pub(crate) fn wait(&self, seen: u32, timeout: Timeout, kind: WaitKind) -> Woken {
        self.queue.wait(&self.count, seen, timeout, kind)
    }
}
