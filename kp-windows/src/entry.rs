//! The driver's entry points, for any plugin. The kernel calls them, at Passive.
use crate::{door::BufferDoor, kernel, memory, names::Name, nt::*, security, seh};
use core::ptr::{self, NonNull};
use kp_abi::{
    Error, Status,
    request::{self, CTL_DEVICE},
};
use kp_core::{
    Caller, Plugin,
    host::{Driver, RawDevice, Session, passive},
};

/// What the control device remembers.
struct Extension {
    /// A driver, by `Driver::into_raw`.
    driver: *const (),
}

/// Bits of a control code: how the buffers come.
const METHOD: u32 = 3;
const METHOD_NEITHER: u32 = 3;

fn node_name<P: Plugin>() -> Name {
    Name::new(&["\\Device\\kp-", P::TABLE.name])
}

fn link_name<P: Plugin>() -> Name {
    Name::new(&["\\DosDevices\\kp-", P::TABLE.name])
}

fn ntstatus(status: Status) -> NtStatus {
    status.ntstatus() as NtStatus
}

/// DriverEntry: binds the plugin, and makes its node `\\.\kp-<name>`. An NTSTATUS; after an error nothing is left. Passive.
///
/// # Safety
/// `driver` is the kernel's object for this driver, whose DriverEntry runs; called once.
pub unsafe fn load<P: Plugin>(driver: *mut ()) -> i32 {
    const { assert!(P::TABLE.devices.is_empty(), "the Windows port has no PnP yet: plugins without a device only") };
    let driver = driver.cast::<DriverObject>();
    if !kernel::start(P::TABLE.name) {
        return ntstatus(Status::INIT_FAILED);
    }
    // SAFETY: DriverEntry runs at Passive.
    let bound = match unsafe { passive(|cx| Driver::<P>::bind(cx, RawDevice::none())) } {
        Ok(bound) => bound,
        Err(error) => {
            kp_core::log!("init refused: {}", error);
            memory::free_late();
            return ntstatus(error.status);
        }
    };
    // SAFETY: the caller's promise.
    match unsafe { make_node::<P>(driver) } {
        Ok(extension) => {
            // SAFETY: the new device's own, writable; nobody can open it yet.
            unsafe { extension.write(Extension { driver: bound.into_raw() }) };
        }
        Err(status) => {
            // SAFETY: as above.
            unsafe { passive(|cx| bound.remove(cx, true)) };
            drop(bound);
            memory::free_late();
            return status;
        }
    }
    // SAFETY: the kernel's object, ours until DriverEntry returns.
    let object = unsafe { &mut *driver };
    object.driver_unload = Some(unload::<P>);
    object.major_function[major::CREATE] = Some(create::<P>);
    object.major_function[major::CLEANUP] = Some(cleanup::<P>);
    object.major_function[major::CLOSE] = Some(close::<P>);
    object.major_function[major::DEVICE_CONTROL] = Some(control::<P>);
    STATUS_SUCCESS
}

/// The control device, closed to all but administrators, and then its name for apps. The kernel lets nobody open it before
/// DriverEntry has returned.
///
/// # Safety
/// As [`load`].
unsafe fn make_node<P: Plugin>(driver: *mut DriverObject) -> Result<*mut Extension, NtStatus> {
    let (name, link) = (node_name::<P>(), link_name::<P>());
    let (name, link) = (name.as_unicode(), link.as_unicode());
    let mut device = ptr::null_mut();
    let extension = size_of::<Extension>() as u32;
    // SAFETY: the kernel's own object, a name for the call, a writable place.
    let status =
        unsafe { IoCreateDevice(driver, extension, &name, CTL_DEVICE, FILE_DEVICE_SECURE_OPEN, 0, &mut device) };
    if status < 0 {
        return Err(status);
    }
    // SAFETY: the device of above.
    let mut status = unsafe { security::protect(device) };
    if status >= 0 {
        // SAFETY: two names for the call.
        status = unsafe { IoCreateSymbolicLink(&link, &name) };
    }
    if status < 0 {
        kp_core::log!("no node: {:#x}", status);
        // SAFETY: the device of above; nobody could open it.
        unsafe { IoDeleteDevice(device) };
        return Err(status);
    }
    // SAFETY: the device of above.
    Ok(unsafe { (*device).device_extension }.cast())
}

/// The last handle is closed, and the driver was told to stop.
unsafe extern "efiapi" fn unload<P: Plugin>(driver: *mut DriverObject) {
    let link = link_name::<P>();
    // SAFETY: a name for the call. Nobody finds the device from here on.
    unsafe { IoDeleteSymbolicLink(&link.as_unicode()) };
    // SAFETY: the kernel's object, and its one device, made by `load`.
    let device = unsafe { (*driver).device_object };
    // SAFETY: as above.
    let raw = unsafe { driver_of(device) };
    // SAFETY: `load` has made it, and no request comes any more.
    let bound = unsafe { Driver::<P>::from_raw(raw) };
    // SAFETY: unload runs at Passive.
    unsafe { passive(|cx| bound.remove(cx, true)) };
    drop(bound);
    memory::free_late();
    // SAFETY: the device of above, used for the last time.
    unsafe { IoDeleteDevice(device) };
}

/// Answers a request. The answer goes back to the kernel too.
///
/// # Safety
/// The request is this driver's, and is not used again.
unsafe fn complete(irp: *mut Irp, status: NtStatus, written: usize) -> NtStatus {
    // SAFETY: the caller's promise.
    unsafe { (*irp).io_status = IoStatusBlock { status, information: written } };
    // SAFETY: as above.
    unsafe { IofCompleteRequest(irp, 0) };
    status
}

/// # Safety
/// The device is the one that [`load`] has made.
unsafe fn driver_of(device: *mut DeviceObject) -> *const () {
    // SAFETY: the caller's promise.
    let extension = unsafe { (*device).device_extension }.cast::<Extension>();
    // SAFETY: written by `load`, and as long as the device.
    unsafe { (*extension).driver }
}

/// # Safety
/// The request is this driver's.
unsafe fn location_of<'a>(irp: *mut Irp) -> &'a IoStackLocation {
    // SAFETY: the caller's promise.
    let location = unsafe { (*irp).current_stack_location };
    // SAFETY: the kernel has filled in this driver's location, which is there as long as the request.
    unsafe { &*location }
}

/// # Safety
/// The request is this driver's.
unsafe fn file_of<'a>(irp: *mut Irp) -> &'a mut FileObject {
    // SAFETY: the caller's promise.
    let location = unsafe { location_of(irp) };
    // SAFETY: every request of this driver has a file object, which outlives the request.
    unsafe { &mut *location.file_object }
}

/// A handle is opened.
unsafe extern "efiapi" fn create<P: Plugin>(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the kernel passes this driver's requests.
    let file = unsafe { file_of(irp) };
    // SAFETY: as above.
    let status = match unsafe { open::<P>(device, irp, file) } {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => status,
    };
    // SAFETY: as above, answered once.
    unsafe { complete(irp, status, 0) }
}

/// # Safety
/// The request is a CREATE of this driver, and `file` its own.
unsafe fn open<P: Plugin>(device: *mut DeviceObject, irp: *mut Irp, file: &mut FileObject) -> Result<(), NtStatus> {
    if file.file_name.length != 0 || !file.related_file_object.is_null() {
        return Err(STATUS_OBJECT_NAME_NOT_FOUND);
    }
    // SAFETY: the caller's promise.
    let is_32bit = unsafe { IoIs32bitProcess(irp) } != 0;
    let admin = SeSinglePrivilegeCheck(SE_LOAD_DRIVER_PRIVILEGE, mode::USER) != 0;
    let caller = Caller::new(PsGetCurrentProcessId() as u32, admin, is_32bit);
    // SAFETY: the device is the one that `load` has made.
    let driver = unsafe { driver_of(device) };
    // SAFETY: CREATE comes at Passive.
    let f = |driver: &Driver<P>| unsafe { passive(|cx| driver.session(cx, caller)) };
    // SAFETY: made by `load`, and alive until `unload`.
    match unsafe { Driver::<P>::borrow_raw(driver, f) } {
        Ok(shell) => {
            file.fs_context = shell.as_ptr().cast();
            Ok(())
        }
        Err(Error { status, .. }) => Err(ntstatus(status)),
    }
}

/// The last handle is closed; requests may still be under way, and end now.
unsafe extern "efiapi" fn cleanup<P: Plugin>(_: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the kernel passes this driver's requests.
    let shell = unsafe { file_of(irp) }.fs_context.cast::<Session<P>>();
    // SAFETY: CREATE has put it there, and CLOSE comes later.
    if let Some(session) = unsafe { shell.as_ref() } {
        // SAFETY: CLEANUP comes at Passive.
        unsafe { passive(|cx| session.end(cx)) };
    }
    // SAFETY: as above, answered once.
    unsafe { complete(irp, STATUS_SUCCESS, 0) }
}

/// The last request is over, and nothing refers to the file object any more.
unsafe extern "efiapi" fn close<P: Plugin>(_: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the kernel passes this driver's requests.
    let file = unsafe { file_of(irp) };
    let shell = core::mem::replace(&mut file.fs_context, ptr::null_mut());
    if let Some(session) = NonNull::new(shell.cast::<Session<P>>()) {
        // SAFETY: CREATE has put it there; no request is in flight, and none comes.
        let f = |cx: &mut kp_core::Passive| unsafe { Session::release(session, cx) };
        // SAFETY: CLOSE comes at Passive.
        unsafe { passive(f) };
    }
    memory::free_late();
    // SAFETY: as above, answered once.
    unsafe { complete(irp, STATUS_SUCCESS, 0) }
}

/// DeviceIoControl.
unsafe extern "efiapi" fn control<P: Plugin>(_: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    // SAFETY: the kernel passes this driver's requests.
    let (status, written) = match unsafe { request::<P>(irp) } {
        Ok(written) => (STATUS_SUCCESS, written),
        Err(status) => (ntstatus(status), 0),
    };
    // SAFETY: as above, answered once.
    unsafe { complete(irp, status, written) }
}

/// Serves one request; the answer is the length of the reply.
///
/// # Safety
/// A DEVICE_CONTROL of this driver, in the context in which it came.
unsafe fn request<P: Plugin>(irp: *mut Irp) -> Result<usize, Status> {
    // SAFETY: the caller's promise.
    let shell = unsafe { file_of(irp) }.fs_context.cast::<Session<P>>();
    // SAFETY: CREATE has put it there, and CLOSE comes after the last request.
    let Some(session) = (unsafe { shell.as_ref() }) else { return Err(Status::WRONG_CONTEXT) };
    // SAFETY: the caller's promise.
    let location = unsafe { location_of(irp) };
    let code = location.io_control_code;
    let nr = number(code).ok_or(Status::UNKNOWN_REQUEST)?;
    let (input_len, output_len) = (location.input_buffer_length as usize, location.output_buffer_length as usize);
    // SAFETY: the caller's promise.
    let system = unsafe { (*irp).system_buffer }.cast::<u8>();
    // SAFETY: as above.
    let output = unsafe { (*irp).user_buffer }.cast::<u8>();
    let (input, output) = if code & METHOD == METHOD_NEITHER {
        let input = location.type3_input_buffer.cast::<u8>();
        // SAFETY: as above.
        unsafe { in_callers_context(irp) }?;
        seh::probe(input, input_len).map_err(|_| Status::FAULT)?;
        seh::probe(output, output_len).map_err(|_| Status::FAULT)?;
        (input, output)
    } else {
        (system, system)
    };
    // SAFETY: one buffer of the kernel, as long as the longer one of both; or two of this process, probed.
    let mut door = unsafe { BufferDoor::new(input, input_len, output, output_len) }?;
    session.request(nr, &mut door)?;
    Ok(door.written())
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
    if from_user && sender == IoGetCurrentProcess() { Ok(()) } else { Err(Status::WRONG_CONTEXT) }
}
