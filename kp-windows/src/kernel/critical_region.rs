//! An app's thread in the driver: nobody stops it there.
use crate::nt::{KeEnterCriticalRegion, KeLeaveCriticalRegion};

/// As long as it is there, its thread's normal kernel APCs are off: a debugger, or what else may suspend the thread, stops it when it has left
/// the driver. Stopped in here it would stop everybody who waits for what it holds, and the machine's sleep, which waits for it.
///
/// That also keeps the end of the thread from ending a wait, so `wait_queue` looks for that by itself.
pub(crate) struct CriticalRegion(());

impl CriticalRegion {
    /// Passive.
    pub(crate) fn enter() -> Self {
        KeEnterCriticalRegion();
        Self(())
    }
}

impl Drop for CriticalRegion {
    fn drop(&mut self) {
        KeLeaveCriticalRegion();
    }
}
