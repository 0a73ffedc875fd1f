//! mmap(2) of what a driver shares.
use crate::{SharedMemory, pages::Pages};
use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    ptr::{self, NonNull},
    sync::Arc,
};

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
    // SAFETY: just mapped, and nobody else's.
    let pages = unsafe { Pages::mapped(start, len) };
    // SAFETY: the pages stay as long as their owner, and what both sides do with them they do by words.
    Ok(unsafe { SharedMemory::new(start, len, Arc::new(pages)) })
}
