//! DeviceIoControl, whoever carries it.
#[cfg(windows)]
pub use super::handle::Handle;
use kp_abi::{Result, Status};
use std::sync::Arc;

/// What carries DeviceIoControl: a handle of Windows, or, on any system, a simulated one.
pub trait DeviceControl: Send + Sync {
    /// DeviceIoControl, waited for. The number of bytes that the driver has written to `output`.
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status>;

    /// The handle, if it is one of Windows.
    #[cfg(windows)]
    fn handle(&self) -> Option<&Handle>;
}

impl<T: DeviceControl + ?Sized> DeviceControl for Arc<T> {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        (**self).control(code, input, output)
    }

    #[cfg(windows)]
    fn handle(&self) -> Option<&Handle> {
        (**self).handle()
    }
}

#[cfg(windows)]
impl DeviceControl for Handle {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        Handle::control(self, code, input, output)
    }

    fn handle(&self) -> Option<&Handle> {
        Some(self)
    }
}
