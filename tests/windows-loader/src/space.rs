//! The kernel's half of the address space: one reserved range, of which parts are mapped. What a user passes as an address in here is the
//! kernel's own, and is refused by ProbeForRead and ProbeForWrite.
use std::{
    ptr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Where user memory ends: MmUserProbeAddress of 64-bit Windows.
pub(crate) const USER_PROBE: usize = 0x7FFF_FFFF_0000;
/// What is reserved. Pages that nothing touches cost nothing.
const LEN: usize = 1 << 32;

/// What may be done with pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    None,
    Read,
    ReadWrite,
    ReadExecute,
}

impl Protection {
    fn bits(self) -> i32 {
        match self {
            Protection::None => libc::PROT_NONE,
            Protection::Read => libc::PROT_READ,
            Protection::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
            Protection::ReadExecute => libc::PROT_READ | libc::PROT_EXEC,
        }
    }
}

/// The range. Pages are given out once and never again, so that an old address never names something new.
pub(crate) struct Space {
    start: usize,
    next: AtomicUsize,
}

impl Space {
    /// Reserves it.
    ///
    /// # Panics
    /// If there is no such range.
    pub(crate) fn reserve() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new memory at an address of the system's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), LEN, libc::PROT_NONE, flags, -1, 0) };
        assert!(start != libc::MAP_FAILED, "no address space for the kernel: {}", std::io::Error::last_os_error());
        let start = start.expose_provenance();
        Self { start, next: AtomicUsize::new(start + PAGE) }
    }

    /// Takes `len` bytes in whole pages, with an unmapped page behind them. Zeroed.
    ///
    /// # Panics
    /// When the range is used up.
    pub(crate) fn take(&self, len: usize, protection: Protection) -> usize {
        let len = len.next_multiple_of(PAGE);
        let start = self.next.fetch_add(len + PAGE, Relaxed);
        assert!(start + len + PAGE <= self.start + LEN, "the simulated kernel's address space is used up");
        self.protect(start, len, protection);
        start
    }

    /// Changes what may be done with pages that were taken.
    pub(crate) fn protect(&self, start: usize, len: usize, protection: Protection) {
        assert!(self.contains(start, len), "these pages are not the kernel's");
        // SAFETY: inside the range, in which Rust has no object; only the driver's accesses see the change.
        let result = unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(start), len, protection.bits()) };
        assert_eq!(result, 0, "pages cannot be protected: {}", std::io::Error::last_os_error());
    }

    /// Is there a byte of the range among these?
    pub(crate) fn contains(&self, address: usize, len: usize) -> bool {
        address < self.start + LEN && address.saturating_add(len.max(1)) > self.start
    }

    /// An address in it that is mapped.
    pub(crate) fn own_address(&self) -> usize {
        self.start + PAGE
    }

    /// May a user name these bytes as its own?
    pub(crate) fn is_user(&self, address: usize, len: usize) -> bool {
        address.checked_add(len).is_some_and(|end| end <= USER_PROBE) && !self.contains(address, len)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: the whole range; who drops the kernel has ended all threads that run in it.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.start), LEN) };
    }
}
