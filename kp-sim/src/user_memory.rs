//! A process's memory, page by page.
use crate::{
    heap::{PageBlock, Pages as PinnedPages},
    page::{KERNEL_AT, PAGE},
    sync::lock,
};
use kp_abi::{
    Status, TransportStatus,
    zerocopy::{FromBytes, Immutable, IntoBytes},
};
use kp_user::SharedMemory;
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
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

/// A part of what was mapped at once.
#[derive(Clone)]
struct Page {
    access: Access,
    block: Arc<PageBlock>,
    offset: usize,
}

#[derive(Default)]
struct Pages {
    /// By page number.
    pages: BTreeMap<u64, Page>,
    mapped: u64,
}

/// An app's memory. Any thread may read and write it while the kernel, or a device, does: words are atomic, so a race has an outcome.
#[derive(Clone, Default)]
pub struct UserMemory(Arc<Mutex<Pages>>);

impl UserMemory {
    /// Maps `len` bytes of zeros, in whole pages. What lies before and behind is not mapped.
    pub fn map(&self, len: usize, access: Access) -> u64 {
        let mut pages = lock(&self.0);
        let count = len.div_ceil(PAGE).max(1) as u64;
        let first = FIRST_AT / PAGE as u64 + pages.mapped;
        pages.mapped += count + 1;
        let Some(block) = PageBlock::new(count as usize * PAGE) else {
            panic!("the test has no memory for {len} bytes")
        };
        let block = Arc::new(block);
        for (number, offset) in (first..first + count).zip((0..).step_by(PAGE)) {
            pages.pages.insert(number, Page { access, block: block.clone(), offset });
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
                page.access = access;
            }
        }
    }

    /// What `len` bytes from `address` on are made of, whole pages: they stay alive as long as the answer, whatever the app does. Errors: Fault if
    /// one is not mapped, or read-only and `write`; NotPinnable if they were not mapped at once.
    pub(crate) fn pin(&self, address: u64, len: usize, write: bool) -> Result<PinnedPages, Status> {
        let pages = lock(&self.0);
        let mut found: Option<PinnedPages> = None;
        for (number, at) in page_numbers(address, len).zip((0..).step_by(PAGE)) {
            let page = pages.pages.get(&number).ok_or(TransportStatus::FAULT.status())?;
            if write && page.access == Access::ReadOnly {
                return Err(TransportStatus::FAULT.status());
            }
            let first = found.get_or_insert_with(|| PinnedPages {
                block: page.block.clone(),
                offset: page.offset,
                len,
                is_pinned: true,
            });
            if !Arc::ptr_eq(&first.block, &page.block) || first.offset + at != page.offset {
                return Err(Status::NOT_PINNABLE);
            }
        }
        found.ok_or(Status::BAD_FIELD)
    }

    /// `len` bytes at `address` as the app uses memory that others use too. Errors: Fault, if they are not mapped at once.
    pub(crate) fn shared(&self, address: u64, len: usize) -> Result<SharedMemory, Status> {
        let pages = self.pin(address, len, false).map_err(|_| TransportStatus::FAULT.status())?;
        // SAFETY: inside of the block, as long as that is.
        let start = unsafe { pages.block.start().add(pages.offset) };
        // SAFETY: so many bytes, at the beginning of a page, as long as the block lives; all use them by atomic words.
        Ok(unsafe { SharedMemory::new(start, len, pages.block) })
    }

    /// Reads as the app does. Fault: a byte is not mapped; those before it were read.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            page.block.read(page.offset + at, &mut bytes[range]);
            Ok(())
        })
    }

    /// Writes as the app does. Fault: a byte is not mapped or read-only; those before it were written.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            if page.access == Access::ReadOnly {
                return Err(TransportStatus::FAULT.status());
            }
            page.block.write(page.offset + at, &bytes[range]);
            Ok(())
        })
    }

    /// Writes whatever the app itself may do: what a read-only page had in it before.
    pub fn fill(&self, address: u64, bytes: &[u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            page.block.write(page.offset + at, &bytes[range]);
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
        mut f: impl FnMut(&Page, usize, Range<usize>) -> Result<(), Status>,
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

fn page_numbers(address: u64, len: usize) -> Range<u64> {
    let page = PAGE as u64;
    address / page..(address + len as u64).div_ceil(page)
}
