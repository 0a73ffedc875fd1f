//! DeviceIoControl, whoever carries it.
#[cfg(windows)]
pub use super::handle::Handle;
use kp_abi::{Result, Status, TransportStatus};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// What carries DeviceIoControl: a handle of Windows, or, on any system, a simulated one.
pub trait DeviceControl: Send + Sync {
    /// DeviceIoControl, waited for. The number of bytes that the driver has written to `output`.
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status>;

    /// DeviceIoControl with `len` bytes of this process's memory at `start` as the out-buffer, which stays pending, and is nobody's to wait for. An
    /// error: it is over already. It lasts as long as what carries it, whatever thread began it.
    fn keep(&self, code: u32, input: &[u8], start: u64, len: u64) -> Result<(), Status> {
        let _ = (code, input, start, len);
        Err(TransportStatus::UNKNOWN_REQUEST.status())
    }

    /// The handle, if it is one of Windows.
    #[cfg(windows)]
    fn handle(&self) -> Option<&Handle>;

    /// A descriptor for poll(2), as a [`Connection`](crate::Connection) has one.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl<T: DeviceControl + ?Sized> DeviceControl for Arc<T> {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        (**self).control(code, input, output)
    }

    fn keep(&self, code: u32, input: &[u8], start: u64, len: u64) -> Result<(), Status> {
        (**self).keep(code, input, start, len)
    }

    #[cfg(windows)]
    fn handle(&self) -> Option<&Handle> {
        (**self).handle()
    }

    #[cfg(unix)]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        (**self).as_fd()
    }
}

#[cfg(windows)]
impl DeviceControl for Handle {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        Handle::control(self, code, input, output)
    }

    fn keep(&self, code: u32, input: &[u8], start: u64, len: u64) -> Result<(), Status> {
        self.keeper().keep(code, input, start, len)
    }

    fn handle(&self) -> Option<&Handle> {
        Some(self)
    }
}
