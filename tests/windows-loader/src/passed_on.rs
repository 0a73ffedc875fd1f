//! Requests that do not come straight from the app: a driver above the device has them first, or has made them.
use crate::{
    buffers::{Buffer, Buffers},
    cpu,
    file::{Done, Handle, KERNEL_MODE, USER_MODE},
    irp,
    kernel::{Machine, lock},
    nt::{FileObject, NtStatus, major},
    pdo,
    process::Process,
    space::{PAGE, Protection},
};
use std::{ffi::c_void, ptr, sync::Arc};

/// The file object in a request that a driver has made.
#[derive(Clone, Copy)]
pub enum Stranger<'h> {
    /// There is none.
    Nothing,
    /// Of a device of the driver's own, with a context that means something to that driver alone.
    Elsewhere,
    /// The driver has made it for this device, as IoCreateStreamFileObject does; no CREATE has come with it. Its contexts are the driver's
    /// own.
    ThisDevice,
    /// A handle's, maybe of another device.
    Handle(&'h Handle),
}

impl Machine {
    /// A driver sends a request of its own to the device that a path names: this major function, and what a device control has. Waits for its
    /// end.
    ///
    /// # Errors
    /// There is no such device.
    ///
    /// # Panics
    /// If the run ends.
    pub fn request_by_a_driver(
        &self,
        path: &str,
        major: u8,
        stranger: Stranger<'_>,
        (code, input, output): (u32, Buffer, Buffer),
    ) -> Result<Done, NtStatus> {
        let kernel = &self.kernel;
        let (device, _) = lock(&kernel.objects).resolve(path)?;
        let own = kernel.allocate(size_of::<FileObject>(), b"File", true);
        // What another driver's context leads to is nobody else's: here nobody can even look at it.
        let context = ptr::with_exposed_provenance_mut::<c_void>(kernel.space.take(PAGE, Protection::None));
        let object = match stranger {
            Stranger::Nothing => ptr::null_mut(),
            Stranger::Handle(handle) => handle.file.object(),
            Stranger::Elsewhere | Stranger::ThisDevice => {
                let object = ptr::with_exposed_provenance_mut::<FileObject>(own);
                // SAFETY: fresh memory of this size, zeroed, which is a valid file object.
                let fields = unsafe { &mut *object };
                (fields.kind, fields.size) = (5, size_of::<FileObject>() as i16);
                let here = matches!(stranger, Stranger::ThisDevice);
                fields.device_object = ptr::with_exposed_provenance_mut(if here { device } else { own });
                (fields.fs_context, fields.fs_context2) = (context, context);
                object
            }
        };
        let done = cpu::attached(kernel, None, || {
            let top = pdo::top(ptr::with_exposed_provenance_mut(device));
            // SAFETY: the top device of a stack.
            let stack = unsafe { (*top).stack_size } as u8;
            let is_control = major == major::DEVICE_CONTROL;
            let buffers = if is_control { Buffers::capture(kernel, code, input, output)? } else { Buffers::default() };
            let request = irp::make(kernel, stack, None, |irp, location| {
                irp.requestor_mode = KERNEL_MODE;
                irp.thread = cpu::thread_id();
                (location.major_function, location.file_object) = (major, object);
                if is_control {
                    location.parameters = [output.len as usize, input.len as usize, code as usize, 0];
                    buffers.put(irp, location, input);
                }
            });
            let sent = irp::send(kernel, top, &request).and_then(|()| request.wait(kernel, true));
            let over = sent.unwrap_or_else(|| cpu::abandon());
            Ok(Done { status: over.status, information: over.information })
        });
        cpu::attached(kernel, None, || cpu::checked(kernel.pool.free(own, None)));
        done
    }
}

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
