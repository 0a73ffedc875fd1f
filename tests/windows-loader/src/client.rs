//! The client library over a simulated handle.
use crate::{
    buffers::Buffer,
    file::{Done, Handle},
};
use kp_abi::Status;
use kp_user::DeviceControl;

impl DeviceControl for Handle {
    fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        // The end of a run is told once: not also by what is dropped on its way.
        if std::thread::panicking() && self.file.kernel.is_stopped() {
            return Err(Status::NO_REPLY);
        }
        let Done { status, information } = Handle::control(self, code, Buffer::input(input), Buffer::output(output));
        match status {
            0 => Ok(information),
            status => Err(Status::from_ntstatus(status as u32).unwrap_or(Status::NO_REPLY)),
        }
    }

    fn keep(&self, code: u32, input: &[u8], start: u64, len: u64) -> Result<(), Status> {
        let memory = Buffer { address: start as usize, len: len as u32 };
        let of = |status: i32| Status::from_ntstatus(status as u32).unwrap_or(Status::NO_REPLY);
        let pending = self.start(code, Buffer::input(input), memory).map_err(of)?;
        match pending.over() {
            None | Some(0) => Ok(()),
            Some(status) => Err(of(status)),
        }
    }
}
