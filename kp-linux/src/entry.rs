//! The module's entry points, for any plugin. The C glue calls them, through [`glue!`](crate::glue!), at the level each one names.
use crate::{IoctlRequest, c::kp_c_log};
use core::ptr::NonNull;
use kp_abi::{Error, Status, request::Request};
pub use kp_core::host::{dpc, isr};
use kp_core::{
    Caller, Plugin,
    host::{BoundDevice, DeviceId, DirectResult, LogLine, RawDevice, Session, passive},
};

/// Kernel-internal errno: restart the system call, or EINTR.
const ERESTARTSYS: isize = 512;

/// Bit of [`ready`]: a wait would return with a notification.
pub const READY_NOTIFICATION: u32 = 1;
/// Bit of [`ready`]: the session is over.
pub const READY_OVER: u32 = 2;

/// The errno of an error, negative, for probe and open.
fn errno(error: Error) -> i32 {
    transport(error.status) as i32
}

/// Binds a device, or with a null `device` a plugin that drives none. Process context. 0, or a negative errno.
///
/// # Safety
/// `device` is null or alive until [`remove`] has returned; `bars` has six lengths, 0 for none; `driver` is writable.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn bind<P: Plugin>(device: *mut (), bars: *const u64, bus_address: u64, driver: *mut *const ()) -> i32 {
    let raw = match DeviceId::new(device.expose_provenance()) {
        None => RawDevice::none(),
        Some(id) => {
            // SAFETY: there is a device: six lengths are there.
            let lengths = unsafe { &*bars.cast::<[u64; 6]>() };
            let bars = lengths.map(|len| if len == 0 { None } else { Some(len as usize) });
            // SAFETY: the caller's promise; the PCI core gives a device to one driver.
            unsafe { RawDevice::new(id, bars, bus_address) }
        }
    };
    // SAFETY: this is the port; the C glue calls the functions below in the order that they name.
    let f = |cx: &mut kp_core::Passive| unsafe { BoundDevice::<P>::bind(cx, raw) };
    // SAFETY: process context.
    match unsafe { passive(f) } {
        Ok(bound) => {
            // SAFETY: the caller's promise.
            unsafe { driver.write(bound.into_raw()) };
            0
        }
        Err(error) => {
            let mut line = LogLine::<96>::new();
            let _ = line.push("init refused the device: ") && line.push_error(error);
            // SAFETY: a readable range.
            unsafe { kp_c_log(line.text().as_ptr(), line.text().len()) };
            errno(error)
        }
    }
}

/// Runs `f` with the driver behind the C glue's pointer.
///
/// # Safety
/// `driver` came from [`bind`] and was not dropped.
unsafe fn with<P: Plugin, R>(driver: *const (), f: impl FnOnce(&BoundDevice<P>) -> R) -> R {
    // SAFETY: the caller's promise.
    unsafe { BoundDevice::<P>::borrow_raw(driver, f) }
}

/// The device goes, or the module. Process context. False: `device` of [`bind`] has to stay for good, and its mapped BARs too; the
/// plugin has panicked.
///
/// # Safety
/// `driver` came from [`bind`]; no [`open`] runs or comes, and no [`suspend`], [`resume`] or `remove` of it runs at the same time.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn remove<P: Plugin>(driver: *const (), present: bool) -> bool {
    let f = |driver: &BoundDevice<P>| {
        // SAFETY: the caller's promise.
        let remove = |cx: &mut kp_core::Passive| unsafe { driver.remove(cx, present) };
        // SAFETY: process context.
        unsafe { passive(remove) }
    };
    // SAFETY: the caller's promise.
    unsafe { with(driver, f) }
}

/// Gives up the C glue's reference. Process context.
///
/// # Safety
/// `driver` came from [`bind`], [`remove`] has returned, and it is not used again.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn drop_driver<P: Plugin>(driver: *const ()) {
    // SAFETY: the caller's promise.
    drop(unsafe { BoundDevice::<P>::from_raw(driver) })
}

/// The device goes to sleep. Process context.
///
/// # Safety
/// `driver` came from [`bind`] and was not removed; no [`resume`] or [`remove`] of it runs at the same time.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn suspend<P: Plugin>(driver: *const ()) {
    let f = |driver: &BoundDevice<P>| {
        // The freezer has waited for calls before: whoever is inside still is about to leave.
        // SAFETY: the caller's promise.
        let suspend = |cx: &mut kp_core::Passive| unsafe { driver.suspend(cx, u64::MAX) };
        // SAFETY: process context.
        unsafe { passive(suspend) }
    };
    // SAFETY: the caller's promise.
    unsafe { with(driver, f) }
}

/// The device is awake. Process context.
///
/// # Safety
/// As [`suspend`].
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn resume<P: Plugin>(driver: *const ()) {
    let f = |driver: &BoundDevice<P>| {
        // SAFETY: the caller's promise.
        let resume = |cx: &mut kp_core::Passive| unsafe { driver.resume(cx) };
        // SAFETY: process context.
        unsafe { passive(resume) }
    };
    // SAFETY: the caller's promise.
    unsafe { with(driver, f) }
}

/// The device is about to be reset, by somebody else. Process context.
///
/// # Safety
/// As [`suspend`].
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn reset_prepare<P: Plugin>(driver: *const ()) {
    let f = |driver: &BoundDevice<P>| {
        // SAFETY: the caller's promise.
        let prepare = |cx: &mut kp_core::Passive| unsafe { driver.reset_prepare(cx) };
        // SAFETY: process context.
        unsafe { passive(prepare) }
    };
    // SAFETY: the caller's promise.
    unsafe { with(driver, f) }
}

/// The reset is over. Process context.
///
/// # Safety
/// As [`suspend`].
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn reset_done<P: Plugin>(driver: *const ()) {
    let f = |driver: &BoundDevice<P>| {
        // SAFETY: the caller's promise.
        let done = |cx: &mut kp_core::Passive| unsafe { driver.reset_done(cx) };
        // SAFETY: process context.
        unsafe { passive(done) }
    };
    // SAFETY: the caller's promise.
    unsafe { with(driver, f) }
}

/// open(2): a session's handle. Process context. 0, or a negative errno.
///
/// # Safety
/// `driver` came from [`bind`] and was not dropped; `session` is writable.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn open<P: Plugin>(
    driver: *const (),
    process: u32,
    admin: bool,
    is_32bit: bool,
    session: *mut *mut (),
) -> i32 {
    let caller = Caller::new(process, admin, is_32bit);
    // SAFETY: process context.
    let f = |driver: &BoundDevice<P>| unsafe { passive(|cx| driver.session(cx, caller)) };
    // SAFETY: the caller's promise.
    match unsafe { with(driver, f) } {
        Ok(handle) => {
            // SAFETY: the caller's promise.
            unsafe { session.write(handle.as_ptr().cast()) };
            0
        }
        Err(error) => errno(error),
    }
}

/// A session's handle.
///
/// # Safety
/// `session` came from [`open`] and was not released.
#[inline]
unsafe fn handle<'a, P: Plugin>(session: *mut ()) -> &'a Session<P> {
    // SAFETY: the caller's promise.
    unsafe { &*session.cast::<Session<P>>() }
}

/// The last reference of the file is gone. Process context.
///
/// # Safety
/// `session` came from [`open`], no request of it runs, and it is not used again.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn release<P: Plugin>(session: *mut ()) {
    let Some(session) = NonNull::new(session.cast::<Session<P>>()) else { return };
    // SAFETY: the caller's promise.
    let f = |cx: &mut kp_core::Passive| unsafe { Session::release(session, cx) };
    // SAFETY: process context.
    unsafe { passive(f) }
}

/// ioctl(2), for the right type and direction. `limit`: end of the caller's user memory; `mode`: the file's. Process context. 0, or a negative errno.
///
/// # Safety
/// `session` came from [`open`] and is not released before this returns.
#[inline]
pub unsafe fn request<P: Plugin>(session: *mut (), nr: u32, address: usize, limit: u64, mode: u32) -> isize {
    // SAFETY: the caller's promise.
    let session = unsafe { handle::<P>(session) };
    if nr == kp_abi::ring::ENTER_DIRECT {
        let enter = |cx: &mut kp_core::Passive| session.enter_directly(cx, address as u32, mode & 3 == 3);
        // SAFETY: process context.
        return told(unsafe { passive(enter) });
    }
    let request = |cx: &mut kp_core::Passive| session.request(cx, nr, &mut IoctlRequest::new(address, limit, mode));
    // SAFETY: as above.
    match unsafe { passive(request) } {
        Ok(()) => 0,
        // What is left of the time stands in the struct: the kernel may call again. Anything else would be done twice.
        Err(Status::INTERRUPTED) if nr == kp_abi::request::IntWait::NR => -ERESTARTSYS,
        Err(status) => transport(status),
    }
}

/// ioctl(2) with a direct call of message `message`; else as [`request`]. 0, a status, or a negative errno.
///
/// # Safety
/// As [`request`].
#[inline]
pub unsafe fn direct<P: Plugin>(session: *mut (), message: u32, address: usize, limit: u64, mode: u32) -> isize {
    // SAFETY: the caller's promise.
    let session = unsafe { handle::<P>(session) };
    let call = |cx: &mut kp_core::Passive| session.direct(cx, message, IoctlRequest::direct(address, limit, mode));
    // SAFETY: process context.
    told(unsafe { passive(call) })
}

/// A status as an ioctl's answer.
#[inline(always)]
fn told(told: DirectResult) -> isize {
    match told {
        Ok(status) => status.0 as isize,
        Err(status) => transport(status),
    }
}

/// The errno of a status, negative. One copy: it searches the status table.
#[cfg_attr(kp_driver, optimize(size))]
#[cold]
#[inline(never)]
fn transport(status: Status) -> isize {
    -(status.errno() as isize)
}

/// poll(2): [`READY_NOTIFICATION`] and [`READY_OVER`]. Process context.
///
/// # Safety
/// As [`request`].
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn ready<P: Plugin>(session: *mut ()) -> u32 {
    // SAFETY: the caller's promise.
    let session = unsafe { handle::<P>(session) };
    // SAFETY: process context.
    let readiness = unsafe { passive(|cx| session.readiness(cx)) };
    (u32::from(readiness.notification) * READY_NOTIFICATION) | (u32::from(readiness.over) * READY_OVER)
}

/// The wait queue of a session, for poll(2).
///
/// # Safety
/// As [`request`].
pub unsafe fn wait_queue<P: Plugin>(session: *mut ()) -> *mut () {
    // SAFETY: the caller's promise.
    unsafe { handle::<P>(session) }.wait_queue().as_ptr().cast()
}

/// mmap(2) of `len` bytes at `offset`, shared, into `vma`. Process context. 0, or a negative errno.
///
/// # Safety
/// As [`request`]; `vma` is the vm_area_struct that is being made.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn map<P: Plugin>(session: *mut (), vma: *mut (), offset: u64, len: usize, write: bool) -> i32 {
    // SAFETY: the caller's promise.
    let session = unsafe { handle::<P>(session) };
    let mapped = session.map_shared(offset, len, write, |memory, writable| {
        // SAFETY: the memory came from `kp_c_alloc_mmap_pages`, and is there as long as this runs; `vma` by the caller's promise.
        unsafe { crate::c::kp_c_shared_map(vma.cast(), memory.as_ptr(), writable) }
    });
    mapped.unwrap_or_else(|status| errno(status.into()))
}
