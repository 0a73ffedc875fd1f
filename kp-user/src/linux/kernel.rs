//! The system calls on an open node, and what their errors mean.
use super::{
    mapping,
    prepared::{self, Prepared},
};
use crate::SharedMemory;
use kp_abi::{Status, TransportStatus};
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
};

/// The kernel, as far as an open node sees it. A trait, so that tests need none.
pub(super) trait Kernel: Send + Sync {
    /// ioctl(2), and what it gives. `Err`: the errno.
    fn ioctl(&self, request: Prepared<'_>) -> Result<u32, i32>;

    /// RING_ENTER in its short form: the status. `Err`: the errno.
    fn enter(&self, to_submit: u32) -> Result<u32, i32>;

    /// mmap(2), shared. `Err`: the errno.
    fn map(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory, i32>;

    /// The descriptor.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
}

impl Kernel for File {
    #[inline]
    fn ioctl(&self, request: Prepared<'_>) -> Result<u32, i32> {
        prepared::ioctl(self, request)
    }

    #[inline]
    fn enter(&self, to_submit: u32) -> Result<u32, i32> {
        prepared::enter(self, to_submit)
    }

    fn map(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory, i32> {
        mapping::map(self, offset, len, write)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(AsFd::as_fd(self))
    }
}

/// The row of an ioctl that failed.
#[cold]
pub(super) fn status(errno: i32) -> Status {
    match errno {
        libc::ENOTTY => TransportStatus::UNKNOWN_REQUEST.status(),
        libc::EFAULT => TransportStatus::FAULT.status(),
        libc::EINVAL => TransportStatus::HEADER_TOO_SMALL.status(),
        libc::EACCES | libc::EPERM => TransportStatus::DENIED.status(),
        libc::EINTR => Status::INTERRUPTED,
        libc::ENOMEM => Status::NO_MEMORY,
        libc::ENXIO => TransportStatus::WRONG_CONTEXT.status(),
        libc::ENODEV => Status::DEVICE_GONE,
        _ => Status::NO_REPLY,
    }
}
