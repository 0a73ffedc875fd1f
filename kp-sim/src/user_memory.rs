//! A process's memory, page by page.
use crate::{
    page::{KERNEL_AT, PAGE},
    sync::lock,
};
use kp_abi::{
    Status, TransportStatus,
    zerocopy::{FromBytes, Immutable, IntoBytes},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering::*},
    },
};

/// Where the first mapping is. All of them fit a 32-bit process.
const FIRST_AT: u64 = 0x1000_0000;

/// What an app may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read only: an answer stored there is a fault.
    ReadOnly,
}

struct Page {
    access: Access,
    bytes: Box<[AtomicU8]>,
}

#[derive(Default)]
struct Pages {
    /// By page number.
    pages: BTreeMap<u64, Arc<Page>>,
    mapped: u64,
}

/// An app's memory. Any thread may read and write it while the kernel does: bytes are atomic, so a race has an outcome.
#[derive(Clone, Default)]
pub struct UserMemory(Arc<Mutex<Pages>>);

impl UserMemory {
    /// Maps `len` bytes of zeros, in whole pages. What lies before and behind is not mapped.
    pub fn map(&self, len: usize, access: Access) -> u64 {
        let mut pages = lock(&self.0);
        let count = len.div_ceil(PAGE).max(1) as u64;
        let first = FIRST_AT / PAGE as u64 + pages.mapped;
        pages.mapped += count + 1;
        for number in first..first + count {
            let bytes = (0..PAGE).map(|_| AtomicU8::new(0)).collect();
            pages.pages.insert(number, Arc::new(Page { access, bytes }));
        }
        first * PAGE as u64
    }

    /// Unmaps the pages that `len` bytes at `address` lie in.
    pub fn unmap(&self, address: u64, len: usize) {
        let mut pages = lock(&self.0);
        for number in page_numbers(address, len) {
            pages.pages.remove(&number);
        }
    }

    /// Changes what may be done with the pages that `len` bytes at `address` lie in.
    pub fn protect(&self, address: u64, len: usize, access: Access) {
        let mut pages = lock(&self.0);
        for number in page_numbers(address, len) {
            if let Some(page) = pages.pages.get_mut(&number) {
                // The bytes move: an access that is under way still sees the old page, as with a stale translation.
                let bytes = page.bytes.iter().map(|byte| AtomicU8::new(byte.load(Relaxed))).collect();
                *page = Arc::new(Page { access, bytes });
            }
        }
    }

    /// Reads as the app does. Fault: a byte is not mapped; those before it were read.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            for (byte, shared) in bytes[range.clone()].iter_mut().zip(&page.bytes[at..at + range.len()]) {
                *byte = shared.load(Relaxed);
            }
            Ok(())
        })
    }

    /// Writes as the app does. Fault: a byte is not mapped or read-only; those before it were written.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            if page.access == Access::ReadOnly {
                return Err(TransportStatus::FAULT.status());
            }
            for (byte, shared) in bytes[range.clone()].iter().zip(&page.bytes[at..at + range.len()]) {
                shared.store(*byte, Relaxed);
            }
            Ok(())
        })
    }

    /// Writes whatever the app itself may do: what a read-only page had in it before.
    pub fn fill(&self, address: u64, bytes: &[u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            for (byte, shared) in bytes[range.clone()].iter().zip(&page.bytes[at..at + range.len()]) {
                shared.store(*byte, Relaxed);
            }
            Ok(())
        })
    }

    /// Maps a value by itself, a request's struct say, and gives its address.
    pub fn place<T: IntoBytes + Immutable>(&self, value: &T) -> u64 {
        let address = self.map(size_of::<T>(), Access::ReadWrite);
        let written = self.write(address, value.as_bytes());
        debug_assert!(written.is_ok(), "just mapped");
        address
    }

    /// Reads a value. Errors: as [`read`](Self::read).
    pub fn value<T: FromBytes + IntoBytes>(&self, address: u64) -> Result<T, Status> {
        let mut value = T::new_zeroed();
        self.read(address, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Runs `f` with each page that the range meets, where in the page, and which of the range's bytes.
    fn each(
        &self,
        address: u64,
        len: usize,
        mut f: impl FnMut(&Page, usize, std::ops::Range<usize>) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let mut done = 0;
        while done < len {
            let here = address
                .checked_add(done as u64)
                .filter(|&here| here < KERNEL_AT)
                .ok_or(TransportStatus::FAULT.status())?;
            let page =
                lock(&self.0).pages.get(&(here / PAGE as u64)).cloned().ok_or(TransportStatus::FAULT.status())?;
            let at = (here % PAGE as u64) as usize;
            let count = (PAGE - at).min(len - done);
            f(&page, at, done..done + count)?;
            done += count;
        }
        Ok(())
    }
}

fn page_numbers(address: u64, len: usize) -> std::ops::Range<u64> {
    let page = PAGE as u64;
    address / page..(address + len as u64).div_ceil(page)
}
