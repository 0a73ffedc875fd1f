//! Requests that do not come straight from the app: a driver above the device has them first.
use crate::{
    cpu,
    file::{Buffer, Done, Handle, KERNEL_MODE, USER_MODE},
    process::Process,
};
use std::sync::Arc;

impl Handle {
    /// DeviceIoControl whose request a driver above passes on from a thread of another process, waited for.
    ///
    /// # Panics
    /// If the run ends.
    pub fn control_passed_on(&self, elsewhere: &Arc<Process>, code: u32, input: Buffer, output: Buffer) -> Done {
        self.send(elsewhere, USER_MODE, code, input, output)
    }

    /// A request that a driver has made itself, waited for.
    ///
    /// # Panics
    /// If the run ends.
    pub fn control_by_a_driver(&self, code: u32, input: Buffer, output: Buffer) -> Done {
        self.send(self.file.process(), KERNEL_MODE, code, input, output)
    }

    fn send(&self, process: &Arc<Process>, mode: i8, code: u32, input: Buffer, output: Buffer) -> Done {
        let file = &self.file;
        match cpu::attached(&file.kernel, Some(process), || file.control(mode, code, input, output)) {
            Ok(pending) => pending.wait(),
            Err(status) => Done { status, information: 0 },
        }
    }
}
