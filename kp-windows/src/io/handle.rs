//! Handles: CREATE makes a session's handle, CLEANUP ends it, CLOSE frees it.
use crate::{
    io::{
        device_object::DeviceObject,
        irp::{Cleanup, Close, Create, Irp},
        node::Node,
        wait::Waits,
    },
    kernel::{critical_region::CriticalRegion, memory, pool_box::PoolBox},
    nt::*,
};
use core::{
    mem::replace,
    ptr::{self, NonNull},
};
use kp_abi::TransportStatus;
use kp_core::{
    Caller, Error, Passive, Plugin, Status,
    host::{BoundDevice, Session, passive},
};

/// What a file object's context points to.
pub(crate) struct Handle<P: Plugin> {
    pub(crate) waits: Waits<P>,
}

impl<P: Plugin> Handle<P> {
    /// The handle that a request to a node came through. None: it came through none, or through one that is not of this node. A driver that
    /// sends requests of its own may send any file object with them.
    pub(crate) fn of<'d, K>(node: &'d Node, irp: &Irp<K>) -> Option<&'d Self> {
        let file = irp.file().filter(|file| is_of(node, file))?;
        // SAFETY: CREATE has put it there, of the driver's only plugin, and CLOSE comes after the last request.
        unsafe { file.fs_context.cast::<Self>().as_ref() }
    }

    pub(crate) fn session(&self) -> &Session<P> {
        self.waits.session()
    }

    /// A session's handle, for its file object. Passive.
    fn make(cx: &mut Passive, session: NonNull<Session<P>>) -> Option<PoolBox<Self>> {
        let handle = PoolBox::with(|| Self { waits: Waits::new(session) });
        match &handle {
            Some(handle) => handle.waits.watch(),
            // SAFETY: new, and nobody's.
            None => unsafe { Session::release(session, cx) },
        }
        handle
    }

    /// Closes the session, and frees both. No request of it is in flight, and none comes. Passive.
    fn close(handle: PoolBox<Self>, cx: &mut Passive) {
        handle.waits.settle();
        // SAFETY: no request uses it, and `settle` has waited for timers. The session's wait queue, which leads to `waits`, goes with it.
        unsafe { Session::release(NonNull::from(handle.session()), cx) };
    }
}

/// Was this file object opened through the node? Then CREATE has put the node's address there: nobody else has one like it, and nothing of
/// another driver's is looked at.
fn is_of(node: &Node, file: &FileObject) -> bool {
    ptr::eq(file.fs_context2.cast_const().cast::<Node>(), node)
}

/// A handle is opened. Passive.
pub(crate) fn create<P: Plugin>(node: DeviceObject<'_, Node>, mut irp: Irp<Create>) -> NtStatus {
    let _region = CriticalRegion::enter();
    let opened = node.with_remove_lock(irp.tag(), || add::<P>(&node, &mut irp)).and_then(|opened| opened);
    irp.complete(opened.err().unwrap_or(STATUS_SUCCESS), 0)
}

/// Opens a handle, if there may be one more.
fn add<P: Plugin>(node: &Node, irp: &mut Irp<Create>) -> Result<(), NtStatus> {
    if !node.add_handle() {
        return Err(ntstatus(Status::DEVICE_GONE));
    }
    open::<P>(node, irp).inspect_err(|_| node.drop_handle())
}

fn open<P: Plugin>(node: &Node, irp: &mut Irp<Create>) -> Result<(), NtStatus> {
    let wrong_context = || ntstatus(TransportStatus::WRONG_CONTEXT.status());
    let file = irp.file().ok_or_else(wrong_context)?;
    // Not one that is open already, nor one of which another driver has made something.
    if !file.fs_context.is_null() || !file.fs_context2.is_null() {
        return Err(wrong_context());
    }
    if file.file_name.length != 0 || !file.related_file_object.is_null() {
        return Err(STATUS_OBJECT_NAME_NOT_FOUND);
    }
    let is_32bit = irp.is_32bit();
    let caller = Caller::new(PsGetCurrentProcessId() as u32, is_admin(irp), is_32bit);
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
            let file = irp.file_mut().ok_or_else(wrong_context)?;
            file.fs_context = handle.into_raw().as_ptr().cast();
            file.fs_context2 = ptr::from_ref(node).cast_mut().cast();
            Ok(())
        }
        Some(Err(error)) => Err(ntstatus(error.status)),
        None => Err(ntstatus(Status::DEVICE_GONE)),
    }
}

/// Does the one who opens belong to the administrators, with all of their rights? Asked of the token that access was granted to: an
/// impersonated one, if there is one. Not of privileges: an administrator's are off until a process turns them on.
fn is_admin(irp: &Irp<Create>) -> bool {
    let Some(context) = irp.security_context() else {
        // Wine, where nobody is denied anything.
        return SeSinglePrivilegeCheck(SE_LOAD_DRIVER_PRIVILEGE, mode::USER) != 0;
    };
    // SAFETY: null, or the kernel's, as long as the request.
    let Some(granted) = (unsafe { context.access_state.as_ref() }) else { return false };
    let token = if granted.client_token.is_null() { granted.primary_token } else { granted.client_token };
    // SAFETY: a token that the kernel keeps as long as the request.
    unsafe { SeTokenIsAdmin(token) != 0 }
}

/// The last handle is closed; requests may still be under way, and end now. Passive.
pub(crate) fn cleanup<P: Plugin>(node: DeviceObject<'_, Node>, irp: Irp<Cleanup>) -> NtStatus {
    let _region = CriticalRegion::enter();
    if let Some(handle) = Handle::<P>::of(node.extension(), &irp) {
        handle.waits.cancel_all();
        // SAFETY: CLEANUP comes at Passive.
        unsafe { passive(|cx| handle.session().end(cx)) };
    }
    irp.complete(STATUS_SUCCESS, 0)
}

/// The last request is over, and nothing refers to the file object any more. Wine sends no CLEANUP before it. Passive.
pub(crate) fn close<P: Plugin>(node: DeviceObject<'_, Node>, mut irp: Irp<Close>) -> NtStatus {
    let _region = CriticalRegion::enter();
    if let Some(file) = irp.file_mut().filter(|file| is_of(&node, file)) {
        file.fs_context2 = ptr::null_mut();
        if let Some(handle) = NonNull::new(replace(&mut file.fs_context, ptr::null_mut()).cast::<Handle<P>>()) {
            // SAFETY: CREATE has put it there, and it is taken out.
            let handle = unsafe { PoolBox::from_raw(handle) };
            // SAFETY: CLOSE comes at Passive.
            unsafe { passive(|cx| Handle::close(handle, cx)) };
            node.drop_handle();
        }
    }
    memory::free_late();
    irp.complete(STATUS_SUCCESS, 0)
}
