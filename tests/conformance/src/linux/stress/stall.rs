//! Memory whose pages come when the test says so: userfaultfd. Whoever touches one before, the kernel included, waits.
use crate::raw_ioctl::PAGE;
use rustix::{
    io::read,
    ioctl::{Updater, ioctl, opcode},
    mm::{MapFlags, ProtFlags, UserfaultfdFlags, mmap_anonymous, userfaultfd},
};
use std::{collections::BTreeSet, os::fd::OwnedFd, ptr, slice};

const API: u8 = 0xAA;
const MODE_MISSING: u64 = 1;
const EVENT_PAGEFAULT: u8 = 0x12;

/// `struct uffdio_api`.
#[repr(C)]
struct Hello {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`, and `struct uffdio_zeropage`, whose last field has a sign.
#[repr(C)]
struct Range {
    start: u64,
    len: u64,
    mode: u64,
    answer: u64,
}

/// Pages that nobody gets to see before [`come`](Stall::come).
pub struct Stall {
    descriptor: OwnedFd,
    start: *mut u8,
    pages: usize,
}
// SAFETY: the address is one of memory that is never unmapped; the rest is a descriptor.
unsafe impl Sync for Stall {}

impl Stall {
    /// So many of them. They stay mapped for good, for a thread may still wait for one.
    pub fn new(pages: usize) -> Self {
        let len = pages * PAGE as usize;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: new memory, at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), len, access, MapFlags::PRIVATE) }.expect("memory");
        // SAFETY: it changes nothing until memory is registered.
        let descriptor = unsafe { userfaultfd(UserfaultfdFlags::CLOEXEC) }.expect("userfaultfd, as root");
        let stall = Stall { descriptor, start: start.cast(), pages };
        let mut hello = Hello { api: API.into(), features: 0, ioctls: 0 };
        // SAFETY: UFFDIO_API with its struct.
        let hello = unsafe { Updater::<{ opcode::read_write::<Hello>(API, 0x3F) }, _>::new(&mut hello) };
        // SAFETY: as above.
        unsafe { ioctl(&stall.descriptor, hello) }.expect("UFFDIO_API");
        let mut range = Range { start: stall.address(0), len: len as u64, mode: MODE_MISSING, answer: 0 };
        // SAFETY: UFFDIO_REGISTER with its struct.
        let register = unsafe { Updater::<{ opcode::read_write::<Range>(API, 0x00) }, _>::new(&mut range) };
        // SAFETY: memory that only this struct has the address of.
        unsafe { ioctl(&stall.descriptor, register) }.expect("UFFDIO_REGISTER");
        stall
    }

    fn address(&self, page: usize) -> u64 {
        self.start.expose_provenance() as u64 + page as u64 * PAGE
    }

    /// The start of a page, for the kernel to read. This process does not, before it came.
    pub fn input(&self, page: usize, len: usize) -> &[u8] {
        assert!(page < self.pages && len <= PAGE as usize);
        // SAFETY: mapped for good, all zeros once there, and nobody writes this page.
        unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(self.address(page) as usize), len) }
    }

    /// The start of a page, for the kernel to write.
    ///
    /// # Safety
    /// Nothing else refers to this page.
    #[expect(clippy::mut_from_ref, reason = "each page is its own memory, and the caller takes each once")]
    pub unsafe fn output(&self, page: usize, len: usize) -> &mut [u8] {
        assert!(page < self.pages && len <= PAGE as usize);
        // SAFETY: mapped for good, all zeros once there, and the caller's alone.
        unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(self.address(page) as usize), len) }
    }

    /// Waits until so many pages are waited for, and tells which. The kernel may say of one more than once: a thread that it wakes for nothing
    /// faults again.
    pub fn faults(&self, pages: usize) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        while all.len() < pages {
            all.insert(self.fault());
        }
        all
    }

    /// Waits until somebody waits for a page: which one.
    fn fault(&self) -> usize {
        let mut event = [0u8; 32]; // struct uffd_msg
        let got = read(&self.descriptor, &mut event).expect("events can be read");
        assert_eq!((got, event[0]), (event.len(), EVENT_PAGEFAULT));
        let address = u64::from_ne_bytes(event[16..24].try_into().expect("8 bytes"));
        ((address - self.address(0)) / PAGE) as usize
    }

    /// Lets a page come, zeroed, and whoever waits for it go on.
    pub fn come(&self, page: usize) {
        let mut range = Range { start: self.address(page), len: PAGE, mode: 0, answer: 0 };
        // SAFETY: UFFDIO_ZEROPAGE with its struct.
        let zero = unsafe { Updater::<{ opcode::read_write::<Range>(API, 0x04) }, _>::new(&mut range) };
        // SAFETY: a page that is registered and missing.
        unsafe { ioctl(&self.descriptor, zero) }.expect("UFFDIO_ZEROPAGE");
        assert_eq!(range.answer, PAGE);
    }
}
