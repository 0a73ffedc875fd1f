//! Requests in the layout of Windows: DeviceIoControl.
use super::{App, Mode};
use crate::{control_request::ControlRequest, process::Process};
use kp_abi::{Status, TransportStatus, request};
use kp_core::Plugin;
use kp_user::DeviceControl;

/// Takes no buffers, and so no rings: those are memory of the app's own, which comes through [`Connection`](kp_user::Connection) alone.
impl<P: Plugin> DeviceControl for App<P> {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        self.control_in(&self.process, code, input, output)
    }

    #[cfg(windows)]
    fn handle(&self) -> Option<&kp_user::Handle> {
        None
    }
}

impl<P: Plugin> App<P> {
    /// As [`DeviceControl::control`], for a thread of its process.
    pub(crate) fn control_in(
        &self,
        thread: &Process,
        code: u32,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, Status> {
        // Not one that is about memory.
        let nr = request::of_control_code(code).filter(|&nr| request::in_direct_code(nr).is_none());
        let nr = nr.ok_or(TransportStatus::UNKNOWN_REQUEST.status())?;
        let mut user = ControlRequest::new(input, output, self.mode == Mode::ReadWrite)?;
        self.serve_in(thread, |cx, session| session.request(cx, nr, &mut user))?;
        Ok(user.written())
    }
}
