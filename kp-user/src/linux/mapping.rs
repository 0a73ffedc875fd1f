//! mmap(2) of what a driver shares.
use crate::SharedMemory;
use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    ptr::{self, NonNull},
    sync::Arc,
};

/// A mapping. INVARIANT: `len` bytes at `start`, mapped until this is dropped.
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}
#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
// SAFETY: a mapping is the process's, not a thread's.
unsafe impl Send for Mapping {}
#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
// SAFETY: as above; nothing is done with it but unmapping.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "std has no munmap")]
    fn drop(&mut self) {
        // SAFETY: mapped by the invariant, and nobody borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Maps `len` bytes. `Err`: the errno.
#[expect(unsafe_code, reason = "std has no mmap")]
pub fn map(file: &File, offset: u64, len: usize, write: bool) -> Result<SharedMemory, i32> {
    let protection = libc::PROT_READ | if write { libc::PROT_WRITE } else { 0 };
    let offset = libc::off_t::try_from(offset).map_err(|_| libc::EINVAL)?;
    // SAFETY: new pages, at an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), offset) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
    }
    let start = NonNull::new(start.cast()).ok_or(libc::EIO)?;
    // SAFETY: the mapping keeps the pages, and what both sides do with them they do by words.
    Ok(unsafe { SharedMemory::new(start, len, Arc::new(Mapping { start, len })) })
}
