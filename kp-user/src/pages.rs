//! Pages that the kernel has mapped for this process, and unmaps: memory of its own, or a driver's.
#![expect(unsafe_code, reason = "std has neither mmap nor VirtualAlloc")]
use std::ptr::{self, NonNull};

/// Whole pages. INVARIANT: `len` bytes at `start`, mapped until this is dropped.
pub(crate) struct Pages {
    start: NonNull<u8>,
    #[cfg_attr(windows, expect(dead_code, reason = "Windows knows it"))]
    len: usize,
}
// SAFETY: a mapping is the process's, not a thread's.
unsafe impl Send for Pages {}
// SAFETY: as above; nothing is done with it but unmapping.
unsafe impl Sync for Pages {}

impl Pages {
    /// `len` bytes of zeros, a multiple of 4096. None: no memory, or no bytes.
    pub(crate) fn new(len: usize) -> Option<Self> {
        if len == 0 {
            return None;
        }
        map(len).map(|start| Self { start, len })
    }

    /// Pages that are mapped already.
    ///
    /// # Safety
    /// mmap(2) has given them, so many bytes, and nobody else unmaps them.
    #[cfg(target_os = "linux")]
    pub(crate) unsafe fn mapped(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len }
    }

    /// Where they are.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        unmap(self);
    }
}

#[cfg(unix)]
fn map(len: usize) -> Option<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new pages, at an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()) }
}

#[cfg(unix)]
fn unmap(pages: &mut Pages) {
    // SAFETY: mapped by the invariant, and nobody borrows it any more.
    unsafe { libc::munmap(pages.start.as_ptr().cast(), pages.len) };
}

#[cfg(windows)]
fn map(len: usize) -> Option<NonNull<u8>> {
    use windows_sys::Win32::System::Memory::{MEM_COMMIT, MEM_RESERVE, PAGE_READWRITE, VirtualAlloc};
    // SAFETY: new pages, at an address of the kernel's choice.
    NonNull::new(unsafe { VirtualAlloc(ptr::null(), len, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE) }.cast())
}

#[cfg(windows)]
fn unmap(pages: &mut Pages) {
    use windows_sys::Win32::System::Memory::{MEM_RELEASE, VirtualFree};
    // SAFETY: of `VirtualAlloc`, by the invariant, and nobody borrows it any more.
    unsafe { VirtualFree(pages.start.as_ptr().cast(), 0, MEM_RELEASE) };
}
