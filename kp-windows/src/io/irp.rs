//! The kernel's requests: what they carry; answering them, passing them on, and making one.
use crate::nt::*;
use core::{ffi::c_void, ptr};

/// Answers a request. The answer goes back to the kernel too. Up to DISPATCH_LEVEL.
///
/// # Safety
/// The request is this driver's, and is not used again.
pub(crate) unsafe fn complete(irp: *mut Irp, status: NtStatus, written: usize) -> NtStatus {
    // SAFETY: the caller's promise.
    unsafe { (*irp).io_status = IoStatusBlock { status, information: written } };
    // SAFETY: as above.
    unsafe { IofCompleteRequest(irp, 0) };
    status
}

/// Answers a request with what is already in it, or was put there by drivers below.
///
/// # Safety
/// As [`complete`].
pub(crate) unsafe fn complete_as(irp: *mut Irp, status: NtStatus) -> NtStatus {
    // SAFETY: the caller's promise.
    let written = unsafe { (*irp).io_status.information };
    // SAFETY: as above.
    unsafe { complete(irp, status, written) }
}

/// This driver's part of a request.
///
/// # Safety
/// The request is this driver's until the reference is used for the last time.
pub(crate) unsafe fn location<'a>(irp: *mut Irp) -> &'a mut IoStackLocation {
    // SAFETY: the caller's promise.
    let location = unsafe { (*irp).current_stack_location };
    // SAFETY: the kernel has filled in this driver's location, which is there as long as the request.
    unsafe { &mut *location }
}

/// The parameters of a device control.
///
/// # Safety
/// The request is this driver's, and a device control.
pub(crate) unsafe fn device_control(irp: *mut Irp) -> DeviceControlParameters {
    // SAFETY: the caller's promise.
    let parameters = &unsafe { location(irp) }.parameters;
    // SAFETY: as above.
    unsafe { parameters.device_control }
}

/// The file object of a request. None: a driver has sent it, and belongs to no handle.
///
/// # Safety
/// As [`location`].
pub(crate) unsafe fn file<'a>(irp: *mut Irp) -> Option<&'a mut FileObject> {
    // SAFETY: the caller's promise.
    let file = unsafe { location(irp) }.file_object;
    // SAFETY: null, or an object that outlives the request.
    unsafe { file.as_mut() }
}

/// The request will be completed later: its dispatch function answers STATUS_PENDING.
///
/// # Safety
/// The request is this driver's.
pub(crate) unsafe fn mark_pending(irp: *mut Irp) {
    // SAFETY: the caller's promise.
    unsafe { location(irp) }.control |= control::PENDING;
}

/// Passes a request on as it is, and forgets it.
///
/// # Safety
/// The request is this driver's, and is not used again; `lower` is the device below.
pub(crate) unsafe fn pass(lower: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the caller's promise.
    let request = unsafe { &mut *irp };
    request.current_location += 1;
    request.current_stack_location = request.current_stack_location.wrapping_add(1);
    // SAFETY: as above; this driver's location is given up, and the device below gets it.
    unsafe { IofCallDriver(lower, irp) }
}

/// Passes a request on; `done` runs when it is completed, up to DISPATCH_LEVEL.
///
/// # Safety
/// The request is this driver's, and `done`'s from here on; `lower` is the device below.
pub(crate) unsafe fn pass_then(
    lower: *mut DeviceObject,
    irp: *mut Irp,
    done: Completion,
    context: *mut c_void,
) -> NtStatus {
    // SAFETY: the caller's promise.
    let here = unsafe { (*irp).current_stack_location };
    let next = here.wrapping_sub(1);
    // SAFETY: a request has a location for each device of the stack, and there is one below.
    unsafe { ptr::copy_nonoverlapping(here, next, 1) };
    // SAFETY: as above.
    let next = unsafe { &mut *next };
    next.control = control::INVOKE_ALWAYS;
    next.completion_routine = Some(done);
    next.context = context;
    // SAFETY: the caller's promise.
    unsafe { IofCallDriver(lower, irp) }
}

/// Passes a request on and waits until the drivers below have answered it; it is this driver's again then. Passive.
///
/// # Safety
/// As [`pass_then`].
pub(crate) unsafe fn pass_and_wait(lower: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let mut event = Event::UNUSED;
    // SAFETY: writable, and on this stack until it is set.
    unsafe { KeInitializeEvent(&mut event, event_type::NOTIFICATION, 0) };
    // SAFETY: the caller's promise; the event stays until it is set.
    let status = unsafe { pass_then(lower, irp, set_event, (&raw mut event).cast()) };
    if status == STATUS_PENDING {
        // SAFETY: initialised above. A kernel-mode wait keeps the stack in memory, and ends when the event is set.
        unsafe { KeWaitForSingleObject((&raw mut event).cast(), wait_reason::EXECUTIVE, mode::KERNEL, 0, ptr::null()) };
    }
    // SAFETY: completed, and kept by `set_event`: this driver's.
    unsafe { (*irp).io_status.status }
}

/// Sets the event that is its context, and keeps the request.
unsafe extern "efiapi" fn set_event(_: *mut DeviceObject, _: *mut Irp, event: *mut c_void) -> NtStatus {
    // SAFETY: the event of `pass_and_wait`, which waits for it if the request was pending, and else is still on the stack.
    unsafe { KeSetEvent(event.cast(), 0, 0) };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Sends a plug-and-play request of this driver's own to the device below, and waits for the answer. Passive.
///
/// # Safety
/// `lower` is the device below; the parameters are those of this minor function, and what they point to stays until this returns.
pub(crate) unsafe fn ask(lower: *mut DeviceObject, minor: u8, parameters: Parameters) -> NtStatus {
    let mut event = Event::UNUSED;
    // SAFETY: writable.
    unsafe { KeInitializeEvent(&mut event, event_type::NOTIFICATION, 0) };
    let mut status = IoStatusBlock { status: STATUS_NOT_SUPPORTED, information: 0 };
    // SAFETY: event and status stay until the request is completed, which is waited for.
    let irp = unsafe {
        IoBuildSynchronousFsdRequest(major::PNP as u32, lower, ptr::null_mut(), 0, ptr::null(), &mut event, &mut status)
    };
    // SAFETY: null, or a new request.
    let Some(request) = (unsafe { irp.as_mut() }) else { return STATUS_INSUFFICIENT_RESOURCES };
    request.io_status.status = STATUS_NOT_SUPPORTED;
    // SAFETY: a new request has a location for each device of the stack; the next one is the device's below.
    let next = unsafe { &mut *request.current_stack_location.wrapping_sub(1) };
    next.minor_function = minor;
    next.parameters = parameters;
    // SAFETY: a complete request, which the kernel frees when it is completed.
    let sent = unsafe { IofCallDriver(lower, irp) };
    if sent != STATUS_PENDING {
        return sent;
    }
    // SAFETY: initialised above, and set when the request is completed.
    unsafe { KeWaitForSingleObject((&raw mut event).cast(), wait_reason::EXECUTIVE, mode::KERNEL, 0, ptr::null()) };
    status.status
}
