//! Lists of pages, MDLs: the kernel's own pages and apps', each page with a physical number, and where the kernel has them.
use crate::{
    kernel::{Kernel, lock},
    nt::Mdl,
    rule::{Broken, Rule},
    space::{PAGE, Protection},
};
use std::{
    collections::BTreeMap,
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Bits of an MDL's flags.
pub(crate) const MAPPED: i16 = 1;
pub(crate) const LOCKED: i16 = 2;
/// MDL_IO_SPACE.
const IO_SPACE: i16 = 0x0800;

/// All lists that there are.
#[derive(Default)]
pub(crate) struct PageLists {
    lists: Mutex<BTreeMap<usize, List>>,
    pages: AtomicU64,
    /// Pages of processes that are a device's memory.
    pub(crate) io_space: Mutex<Vec<usize>>,
}

/// What is known of a list.
struct List {
    /// Where its pages are.
    at: usize,
    len: usize,
    /// They were allocated with it.
    is_own: bool,
    /// They are gone; the list itself is not yet.
    is_empty: bool,
}

impl PageLists {
    /// A list for `len` bytes at `at`. Every fourth page is no neighbour of the one before.
    pub(crate) fn make(&self, kernel: &Kernel, at: usize, len: usize, is_own: bool) -> usize {
        let pages = (at % PAGE + len).div_ceil(PAGE);
        let size = size_of::<Mdl>() + 8 * pages;
        let address = kernel.allocate(size, b"Mdl ", true);
        let mdl = ptr::with_exposed_provenance_mut::<Mdl>(address);
        // SAFETY: fresh memory of this size, zeroed.
        let fields = unsafe { &mut *mdl };
        fields.size = size as i16;
        let is_io_space = lock(&self.io_space).iter().any(|&page| (at..at + len).contains(&page));
        fields.flags = if is_io_space { LOCKED | IO_SPACE } else { LOCKED };
        fields.start_va = if is_own { 0 } else { at / PAGE * PAGE };
        fields.byte_offset = (at % PAGE) as u32;
        fields.byte_count = len as u32;
        for page in 0..pages {
            let number = self.next_page();
            // SAFETY: behind the list's head, inside the allocation.
            unsafe { mdl.wrapping_add(1).cast::<u64>().wrapping_add(page).write(number) };
        }
        lock(&self.lists).insert(address, List { at, len, is_own, is_empty: false });
        address
    }

    /// The number of a page that nobody has had.
    pub(crate) fn next_page(&self) -> u64 {
        let count = self.pages.fetch_add(1, Relaxed);
        0x1000 + count + count / 4
    }

    /// `len` bytes of new pages, zeroed, and their list.
    pub(crate) fn allocate(&self, kernel: &Kernel, len: usize) -> usize {
        let at = kernel.space.take(len, Protection::ReadWrite);
        self.make(kernel, at, len, true)
    }

    /// Where byte `offset` of a list's pages is, and how many follow. None: there is no such list, or its pages are gone.
    pub(crate) fn place(&self, mdl: usize, offset: usize) -> Option<(usize, usize)> {
        let lists = lock(&self.lists);
        let list = lists.get(&mdl).filter(|list| !list.is_empty && offset <= list.len)?;
        Some((list.at + offset, list.len - offset))
    }

    /// Where the kernel has the pages, from now on.
    pub(crate) fn map(&self, mdl: *mut Mdl) -> Result<usize, Broken> {
        let Some((at, _)) = self.place(mdl.expose_provenance(), 0) else {
            return Err(Rule::PagesListed.broken(format!("{mdl:p} is no list of pages")));
        };
        // SAFETY: a list of this kernel's.
        let fields = unsafe { &mut *mdl };
        if fields.flags & MAPPED != 0 {
            return Err(Rule::PagesMappedOnce.broken(format!("the pages of {mdl:p} are mapped a second time")));
        }
        fields.flags |= MAPPED;
        fields.mapped_system_va = at;
        Ok(at)
    }

    /// Undoes [`map`](Self::map).
    pub(crate) fn unmap(&self, address: usize, mdl: *mut Mdl) -> Result<(), Broken> {
        let is_list = self.place(mdl.expose_provenance(), 0).is_some();
        // SAFETY: looked at only if it is a list of this kernel's.
        if !is_list || unsafe { (*mdl).flags & MAPPED == 0 || (*mdl).mapped_system_va != address } {
            return Err(
                Rule::PagesMappedOnce.broken(format!("{address:#x} is not where the pages of {mdl:p} are mapped"))
            );
        }
        // SAFETY: as above.
        unsafe { (*mdl).flags &= !MAPPED };
        Ok(())
    }

    /// MmFreePagesFromMdl.
    pub(crate) fn free_pages(&self, kernel: &Kernel, mdl: *mut Mdl) -> Result<(), Broken> {
        let mut lists = lock(&self.lists);
        let list = lists.get_mut(&mdl.expose_provenance()).filter(|list| list.is_own && !list.is_empty);
        let Some(list) = list else {
            return Err(
                Rule::PagesListed.broken(format!("the pages of {mdl:p} are freed, which it has none of its own"))
            );
        };
        // SAFETY: a list of this kernel's.
        if unsafe { (*mdl).flags } & MAPPED != 0 {
            return Err(Rule::PagesMappedOnce.broken(format!("the pages of {mdl:p} are freed while they are mapped")));
        }
        if kernel.transfers.reaches(list.at, list.len) {
            return Err(Rule::PagesShown.broken(format!("the pages of {mdl:p} are freed while a device has them")));
        }
        list.is_empty = true;
        kernel.space.protect(list.at, list.len.next_multiple_of(PAGE), Protection::None);
        Ok(())
    }

    /// A request with this list is over: its pages are unlocked.
    pub(crate) fn unlock(&self, kernel: &Kernel, mdl: usize) -> Result<(), Broken> {
        let Some(list) = lock(&self.lists).remove(&mdl) else { return Ok(()) };
        if kernel.transfers.reaches(list.at, list.len) {
            return Err(Rule::PagesShown.broken("an app's request is completed while a device has its pages"));
        }
        kernel.pool.free(mdl, None)
    }

    /// A block of the pool is freed: it may be a list. False: its pages are still there.
    pub(crate) fn freed(&self, address: usize) -> bool {
        let mut lists = lock(&self.lists);
        match lists.get(&address) {
            Some(list) if !list.is_empty => false,
            _ => {
                lists.remove(&address);
                true
            }
        }
    }

    /// Are pages of apps' locked?
    pub(crate) fn locked(&self) -> usize {
        lock(&self.lists).values().filter(|list| !list.is_own).count()
    }
}
