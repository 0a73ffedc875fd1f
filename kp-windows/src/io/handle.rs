//! Handles: CREATE makes a session's shell, CLEANUP ends it, CLOSE frees it.
use crate::{
    driver::node::Node,
    io::{irp, wait::Waits},
    kernel::{critical_region::CriticalRegion, memory},
    nt::*,
    ntstatus,
};
use core::ptr::{self, NonNull};
use kp_abi::TransportStatus;
use kp_core::{
    Caller, Error, Passive, Plugin, Status,
    host::{BoundDevice, Session, passive},
};

/// What a file object's context points to.
pub(crate) struct Handle<P: Plugin> {
    session: NonNull<Session<P>>,
    pub(crate) waits: Waits<P>,
}

impl<P: Plugin> Handle<P> {
    /// The handle that a request came through. None: it came through none, or through one that is not of this device. A driver that sends
    /// requests of its own may send any file object with them.
    ///
    /// # Safety
    /// The request is this driver's, for this device, until the reference is used for the last time.
    pub(crate) unsafe fn of<'a>(device: *mut DeviceObject, irp: *mut Irp) -> Option<&'a Self> {
        // SAFETY: the caller's promise.
        let file = unsafe { irp::file(irp) }?;
        // SAFETY: as above.
        if !is_of(unsafe { Node::of(device) }, file) {
            return None;
        }
        // SAFETY: CREATE has put it there, and CLOSE comes after the last request.
        unsafe { file.fs_context.cast::<Self>().as_ref() }
    }

    pub(crate) fn session(&self) -> &Session<P> {
        // SAFETY: alive until CLOSE frees both.
        unsafe { self.session.as_ref() }
    }

    /// Puts a session's handle into its file object. Passive.
    fn make(cx: &mut Passive, session: NonNull<Session<P>>) -> Option<NonNull<Self>> {
        let place = memory::alloc(size_of::<Self>(), align_of::<Self>()).cast::<Self>();
        let Some(place) = NonNull::new(place) else {
            // SAFETY: new, and nobody's.
            unsafe { Session::release(session, cx) };
            return None;
        };
        // SAFETY: fresh memory of this size.
        unsafe { place.write(Self { session, waits: Waits::new(session) }) };
        // SAFETY: written above, and where it stays until `free`.
        unsafe { place.as_ref() }.waits.watch();
        Some(place)
    }

    /// Closes the session, and frees both. Passive.
    ///
    /// # Safety
    /// It came from [`make`](Self::make), and no request of it is in flight.
    unsafe fn free(this: NonNull<Self>, cx: &mut Passive) {
        // SAFETY: the caller's promise.
        let handle = unsafe { this.as_ref() };
        handle.waits.settle();
        // SAFETY: no request is in flight, and none comes. The signal that leads to `waits` goes with it.
        unsafe { Session::release(handle.session, cx) };
        // SAFETY: from `alloc`, and nobody's any more.
        unsafe { memory::free(this.cast().as_ptr(), align_of::<Self>()) };
    }
}

/// Was this file object opened through the node? Then CREATE has put the node's address there: nobody else has one like it, and nothing of
/// another driver's is looked at.
fn is_of(node: &Node, file: &FileObject) -> bool {
    ptr::eq(file.fs_context2.cast_const().cast::<Node>(), node)
}

/// A handle is opened. Passive.
pub(crate) unsafe extern "efiapi" fn create<P: Plugin>(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let _region = CriticalRegion::enter();
    // SAFETY: the kernel passes this driver's devices.
    let node = unsafe { Node::of(device) };
    if let Err(status) = node.enter(irp) {
        // SAFETY: this driver's, answered once.
        return unsafe { irp::complete(irp, status, 0) };
    }
    let status = if node.add_handle() {
        // SAFETY: as above.
        let opened = unsafe { open::<P>(node, irp) };
        opened.inspect_err(|_| node.drop_handle()).err().unwrap_or(STATUS_SUCCESS)
    } else {
        ntstatus(Status::DEVICE_GONE)
    };
    node.leave(irp);
    // SAFETY: as above, answered once.
    unsafe { irp::complete(irp, status, 0) }
}

/// # Safety
/// The request is a CREATE of this driver for the node's device.
unsafe fn open<P: Plugin>(node: &Node, irp: *mut Irp) -> Result<(), NtStatus> {
    // SAFETY: the caller's promise.
    let file = unsafe { irp::file(irp) }.ok_or(ntstatus(TransportStatus::WRONG_CONTEXT.status()))?;
    // Not one that is open already, nor one of which another driver has made something.
    if !file.fs_context.is_null() || !file.fs_context2.is_null() {
        return Err(ntstatus(TransportStatus::WRONG_CONTEXT.status()));
    }
    if file.file_name.length != 0 || !file.related_file_object.is_null() {
        return Err(STATUS_OBJECT_NAME_NOT_FOUND);
    }
    // SAFETY: the caller's promise.
    let is_32bit = unsafe { IoIs32bitProcess(irp) } != 0;
    // SAFETY: as above: a CREATE.
    let admin = unsafe { is_admin(irp) };
    let caller = Caller::new(PsGetCurrentProcessId() as u32, admin, is_32bit);
    let make = |driver: &BoundDevice<P>| {
        let make = |cx: &mut Passive| {
            let session = driver.session(cx, caller)?;
            Handle::make(cx, session).ok_or(Error::from(Status::NO_MEMORY))
        };
        // SAFETY: CREATE comes at Passive.
        unsafe { passive(make) }
    };
    // SAFETY: a driver is only taken after the last handle, and this one is counted.
    let opened = unsafe { node.with::<P, _>(make) };
    match opened {
        Some(Ok(handle)) => {
            file.fs_context = handle.as_ptr().cast();
            file.fs_context2 = ptr::from_ref(node).cast_mut().cast();
            Ok(())
        }
        Some(Err(error)) => Err(ntstatus(error.status)),
        None => Err(ntstatus(Status::DEVICE_GONE)),
    }
}

/// Does the one who opens belong to the administrators, with all of their rights? Asked of the token that access was granted to: an
/// impersonated one, if there is one. Not of privileges: an administrator's are off until a process turns them on.
///
/// # Safety
/// The request is a CREATE of this driver.
unsafe fn is_admin(irp: *mut Irp) -> bool {
    // SAFETY: the caller's promise.
    let parameters = &unsafe { irp::location(irp) }.parameters;
    // SAFETY: as above: CREATE has these.
    let context = unsafe { parameters.create.security_context };
    // SAFETY: null, or the kernel's, as long as the request.
    let Some(context) = (unsafe { context.as_ref() }) else {
        // Wine, which gives none, and where nobody is denied anything.
        return SeSinglePrivilegeCheck(SE_LOAD_DRIVER_PRIVILEGE, mode::USER) != 0;
    };
    // SAFETY: as above.
    let Some(granted) = (unsafe { context.access_state.as_ref() }) else { return false };
    let token = if granted.client_token.is_null() { granted.primary_token } else { granted.client_token };
    // SAFETY: a token that the kernel keeps as long as the request.
    unsafe { SeTokenIsAdmin(token) != 0 }
}

/// The last handle is closed; requests may still be under way, and end now. Passive.
pub(crate) unsafe extern "efiapi" fn cleanup<P: Plugin>(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let _region = CriticalRegion::enter();
    // SAFETY: the kernel passes this driver's devices and requests.
    if let Some(handle) = unsafe { Handle::<P>::of(device, irp) } {
        handle.waits.cancel_all();
        // SAFETY: CLEANUP comes at Passive.
        unsafe { passive(|cx| handle.session().end(cx)) };
    }
    // SAFETY: as above, answered once.
    unsafe { irp::complete(irp, STATUS_SUCCESS, 0) }
}

/// The last request is over, and nothing refers to the file object any more. Wine sends no CLEANUP before it. Passive.
pub(crate) unsafe extern "efiapi" fn close<P: Plugin>(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    let _region = CriticalRegion::enter();
    // SAFETY: the kernel passes this driver's devices, and deletes none before CLOSE has returned.
    let node = unsafe { Node::of(device) };
    // SAFETY: the kernel passes this driver's requests.
    if let Some(file) = unsafe { irp::file(irp) }.filter(|file| is_of(node, file)) {
        file.fs_context2 = ptr::null_mut();
        let handle = core::mem::replace(&mut file.fs_context, ptr::null_mut());
        if let Some(handle) = NonNull::new(handle.cast::<Handle<P>>()) {
            // SAFETY: CREATE has put it there; no request is in flight, and none comes.
            let free = |cx: &mut Passive| unsafe { Handle::free(handle, cx) };
            // SAFETY: CLOSE comes at Passive.
            unsafe { passive(free) };
            node.drop_handle();
        }
    }
    memory::free_late();
    // SAFETY: as above, answered once.
    unsafe { irp::complete(irp, STATUS_SUCCESS, 0) }
}
