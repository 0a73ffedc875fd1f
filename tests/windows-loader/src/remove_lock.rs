//! Remove locks: they count who uses a device, and by which tag, and let nobody in once it goes.
use crate::{
    kernel::{Kernel, lock},
    rule::{Broken, Rule},
};
use std::{
    collections::BTreeMap,
    ptr,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Bytes of an IO_REMOVE_LOCK of a release build.
const SIZE: usize = 32;

/// All of them, by address.
#[derive(Default)]
pub(crate) struct RemoveLocks {
    locks: Mutex<BTreeMap<usize, Lock>>,
    news: Condvar,
}

#[derive(Default)]
struct Lock {
    is_removed: bool,
    /// The tag of each that is inside.
    inside: Vec<usize>,
}

/// Is there a lock: it was initialised, and that mark is still there.
fn check(address: usize) -> Result<(), Broken> {
    // SAFETY: the driver's memory for a lock.
    match unsafe { ptr::with_exposed_provenance::<u64>(address + 8).read_unaligned() } {
        MARK => Ok(()),
        _ => Err(Rule::RemoveLockInitialised
            .broken(format!("{address:#x} is used as a remove lock, but was never initialised"))),
    }
}

const MARK: u64 = 0x6B63_6F4C_766D_655C;

/// Is an initialised lock among these bytes of a driver's memory? They may be anything.
pub(crate) fn is_in(start: usize, len: usize) -> bool {
    let ends = start + len.saturating_sub(SIZE);
    (start..=ends).step_by(8).any(|address| check(address).is_ok())
}

/// IoInitializeRemoveLockEx.
pub(crate) fn initialize(address: usize, size: u32) -> Result<(), Broken> {
    if size as usize != SIZE {
        return Err(Rule::RemoveLockInitialised
            .broken(format!("IoInitializeRemoveLockEx: a remove lock has {SIZE} bytes, not {size}")));
    }
    // SAFETY: the driver's memory for a lock.
    unsafe {
        ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(address), 0, SIZE);
        ptr::with_exposed_provenance_mut::<u64>(address + 8).write_unaligned(MARK);
    }
    Ok(())
}

impl RemoveLocks {
    /// Goes in. False: the device goes.
    pub(crate) fn acquire(&self, address: usize, tag: usize) -> Result<bool, Broken> {
        check(address)?;
        let mut locks = lock(&self.locks);
        let one = locks.entry(address).or_default();
        if one.is_removed {
            return Ok(false);
        }
        one.inside.push(tag);
        Ok(true)
    }

    /// Comes out again, with the same tag.
    pub(crate) fn release(&self, address: usize, tag: usize) -> Result<(), Broken> {
        let mut locks = lock(&self.locks);
        let one = locks.entry(address).or_default();
        let Some(at) = one.inside.iter().position(|inside| *inside == tag) else {
            return Err(Rule::RemoveLockTag.broken(format!(
                "the remove lock {address:#x} is released with the tag {tag:#x}, with which nobody has taken it"
            )));
        };
        one.inside.swap_remove(at);
        drop(locks);
        self.news.notify_all();
        Ok(())
    }

    /// The last that may come: comes out, shuts the lock, and waits until nobody is inside. Ok(None): the run has ended.
    pub(crate) fn release_and_wait(&self, kernel: &Kernel, address: usize, tag: usize) -> Result<Option<()>, Broken> {
        self.release(address, tag)?;
        let mut locks = lock(&self.locks);
        locks.entry(address).or_default().is_removed = true;
        while locks.get(&address).is_some_and(|one| !one.inside.is_empty()) {
            if kernel.is_stopped() {
                return Ok(None);
            }
            locks = self.news.wait_timeout(locks, Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner).0;
        }
        locks.remove(&address);
        drop(locks);
        // SAFETY: the driver's lock; from here on it is none.
        unsafe { ptr::with_exposed_provenance_mut::<u64>(address + 8).write_unaligned(0) };
        Ok(Some(()))
    }

    pub(crate) fn left(&self) -> Vec<String> {
        let locks = lock(&self.locks);
        let used = locks.iter().filter(|(_, one)| !one.inside.is_empty());
        used.map(|(address, one)| format!("the remove lock {address:#x}, taken {} times", one.inside.len())).collect()
    }
}
