//! DeviceIoControl: which request it is, where its bytes are, and whether the two fit.
use crate::{
    io::{buffered_request::BufferedRequest, handle::Handle, irp, seh},
    kernel::critical_region::CriticalRegion,
    nt::*,
    ntstatus,
};
use kp_abi::{
    Status, TransportStatus,
    request::{self, Request},
};
use kp_core::{Passive, Plugin, host::passive};

/// Bits of a control code: how the buffers come.
const METHOD: u32 = 3;
const METHOD_BUFFERED: u32 = 0;
const METHOD_NEITHER: u32 = 3;

/// How a request goes on.
pub(crate) enum Outcome {
    /// It is over, and this much of the out-buffer is the reply.
    Done(usize),
    /// It is answered later.
    Pending,
}

/// DeviceIoControl. Passive.
pub(crate) unsafe extern "efiapi" fn dispatch<P: Plugin>(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let _region = CriticalRegion::enter();
    // SAFETY: the kernel passes this driver's devices and requests.
    let serve = |cx: &mut Passive| unsafe { serve::<P>(cx, device, irp) };
    // SAFETY: device controls come at Passive.
    let (status, written) = match unsafe { passive(serve) } {
        Ok(Outcome::Done(written)) => (STATUS_SUCCESS, written),
        Ok(Outcome::Pending) => return STATUS_PENDING,
        Err(status) => (ntstatus(status), 0),
    };
    // SAFETY: as above, answered once.
    unsafe { irp::complete(irp, status, written) }
}

/// # Safety
/// A DEVICE_CONTROL of this driver, for this device, in the context in which it came. If the answer is Pending, it is not used again.
unsafe fn serve<P: Plugin>(cx: &mut Passive, device: *mut DeviceObject, irp: *mut Irp) -> Result<Outcome, Status> {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::<P>::of(device, irp) }.ok_or(TransportStatus::WRONG_CONTEXT.status())?;
    // SAFETY: as above; a device control has these parameters.
    let parameters = unsafe { irp::device_control(irp) };
    let nr = number(parameters.io_control_code).ok_or(TransportStatus::UNKNOWN_REQUEST.status())?;
    match parameters.io_control_code & METHOD {
        METHOD_BUFFERED => {
            // SAFETY: the caller's promise: the method says that the buffer is the kernel's.
            let mut user = unsafe { buffered_request(irp) }?;
            if nr == request::IntWait::NR {
                // SAFETY: the caller's promise.
                return unsafe { handle.waits.serve(cx, irp, &mut user) };
            }
            handle.session().request(cx, nr, &mut user)?;
            Ok(Outcome::Done(user.written()))
        }
        METHOD_NEITHER => {
            // SAFETY: the caller's promise.
            let mut user = unsafe { unbuffered_request(irp, &parameters) }?;
            handle.session().request(cx, nr, &mut user)?;
            Ok(Outcome::Done(user.written()))
        }
        _ => Err(TransportStatus::UNKNOWN_REQUEST.status()),
    }
}

/// The user of a request whose buffers are the app's own memory: while it is in the app's context.
///
/// # Safety
/// A DEVICE_CONTROL of this driver with METHOD_NEITHER, alive as long as the user, in the context in which it came.
unsafe fn unbuffered_request(irp: *mut Irp, parameters: &DeviceControlParameters) -> Result<BufferedRequest, Status> {
    // SAFETY: the caller's promise.
    unsafe { in_callers_context(irp) }?;
    let input = parameters.type3_input_buffer.cast::<u8>();
    // SAFETY: as above.
    let output = unsafe { (*irp).user_buffer }.cast::<u8>();
    let (input_len, output_len) = (parameters.input_buffer_length as usize, parameters.output_buffer_length as usize);
    seh::probe(input, input_len).map_err(|_| TransportStatus::FAULT.status())?;
    seh::probe(output, output_len).map_err(|_| TransportStatus::FAULT.status())?;
    // SAFETY: two buffers of this process, probed.
    unsafe { BufferedRequest::new(input, input_len, output, output_len) }
}

/// The user of a request whose buffer is the kernel's: at any level up to DISPATCH_LEVEL, in any context.
///
/// # Safety
/// A DEVICE_CONTROL of this driver with METHOD_BUFFERED, alive as long as the user.
pub(crate) unsafe fn buffered_request(irp: *mut Irp) -> Result<BufferedRequest, Status> {
    // SAFETY: the caller's promise.
    let parameters = unsafe { irp::device_control(irp) };
    // SAFETY: as above.
    let buffer = unsafe { (*irp).system_buffer }.cast::<u8>();
    let (input_len, output_len) = (parameters.input_buffer_length as usize, parameters.output_buffer_length as usize);
    // SAFETY: one buffer of the kernel, as long as the longer one of both.
    unsafe { BufferedRequest::new(buffer, input_len, buffer, output_len) }
}

/// The request that a control code stands for. The number with another method or access is another code, and no request.
fn number(code: u32) -> Option<u32> {
    let nr = (code >> 2 & 0xFFF).checked_sub(0x800)?;
    (request::control_code(nr) == Some(code)).then_some(nr)
}

/// User addresses mean something only in the process that sent them: a driver above may have passed the request on elsewhere.
///
/// # Safety
/// The request is this driver's.
unsafe fn in_callers_context(irp: *mut Irp) -> Result<(), Status> {
    // SAFETY: the caller's promise.
    let from_user = unsafe { (*irp).requestor_mode } == mode::USER;
    // SAFETY: as above.
    let sender = unsafe { IoGetRequestorProcess(irp) };
    if from_user && sender == IoGetCurrentProcess() { Ok(()) } else { Err(TransportStatus::WRONG_CONTEXT.status()) }
}
