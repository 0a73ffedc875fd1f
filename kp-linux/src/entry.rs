//! The module's entry points, for any plugin. The C glue calls them, through [`glue!`](crate::glue!), at the level each one names.
use crate::{BoundPtr, IoctlRequest, SessionPtr, c};
use core::{ffi::c_void, mem::MaybeUninit, num::NonZeroUsize};
use kp_abi::{Status, request::Request};
pub use kp_core::host::{dpc, isr, timer, work};
use kp_core::{
    Caller, Passive, Plugin,
    host::{BarKind, BoundDevice, DeviceId, DirectResult, LogLine, RawBar, RawDevice, Session, passive},
};

/// Kernel-internal errno: restart the system call, or EINTR.
const ERESTARTSYS: isize = 512;

/// Bit of [`ready`]: a wait would return with a notification.
pub const READY_NOTIFICATION: u32 = 1;
/// Bit of [`ready`]: the session is over.
pub const READY_OVER: u32 = 2;

/// The errno of a status, negative. One copy: it searches the status table.
#[cfg_attr(kp_driver, optimize(size))]
#[cold]
#[inline(never)]
fn errno(status: Status) -> isize {
    -(status.errno() as isize)
}

/// What a BAR is, as the C glue says it.
pub mod bar {
    /// Memory.
    pub const MEMORY: u32 = 0;
    /// Prefetchable memory.
    pub const PREFETCHABLE: u32 = 1;
    /// Ports.
    pub const PORTS: u32 = 2;
}

/// A BAR of the C glue's: its length, what it is, its first port.
#[cfg_attr(kp_driver, optimize(size))]
fn raw_bar([len, kind, first_port]: [u64; 3]) -> Option<RawBar> {
    let kind = match kind as u32 {
        _ if len == 0 => return None,
        bar::PORTS => BarKind::Ports(NonZeroUsize::new(first_port as usize)?),
        bar::PREFETCHABLE => BarKind::Prefetchable,
        _ => BarKind::Memory,
    };
    Some(RawBar { len: len as usize, kind })
}

/// Binds a device, or with a null `device` a plugin that drives none. `bars`: of each its length, 0 for none; what it is, as [`bar`] has
/// it; its first port. Process context. 0, or a negative errno.
///
/// # Safety
/// The C glue calls this in process context, outside any other entry point. `device` is null, or a `struct kp_device` that stays until
/// [`remove`] has returned, and of which no other driver has the device.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn bind<P: Plugin>(
    device: *mut c_void,
    bars: &[[u64; 3]; 6],
    bus_address: u64,
    bound: &mut MaybeUninit<BoundPtr<P>>,
) -> i32 {
    let raw = match DeviceId::new(device.expose_provenance()) {
        None => RawDevice::none(),
        Some(id) => {
            let bars = bars.map(raw_bar);
            // SAFETY: the C glue's record of a device that probe was called for: the PCI core gives it to one driver, until remove returns.
            unsafe { RawDevice::new(id, bars, bus_address) }
        }
    };
    // SAFETY: this is the port. The C glue calls the functions below in the order that they ask for.
    let bind = |cx: &mut Passive| unsafe { BoundDevice::<P>::bind(cx, raw) };
    // SAFETY: probe and module_init run in process context, and outside any other entry point.
    match unsafe { passive(bind) } {
        Ok(device) => {
            bound.write(BoundPtr::new(device));
            0
        }
        Err(error) => {
            let mut line = LogLine::<96>::new();
            let _ = line.push("init refused the device: ") && line.push_error(error);
            c::log(line.text());
            errno(error.status) as i32
        }
    }
}

/// The device goes, or the module. Process context. False: `device` of [`bind`] has to stay for good, and its mapped BARs too; the
/// plugin has panicked.
///
/// # Safety
/// No [`open`] runs or comes, and no [`suspend`], [`resume`] or `remove` of it runs at the same time.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn remove<P: Plugin>(bound: BoundPtr<P>, present: bool) -> bool {
    // SAFETY: the driver core holds the device's lock around remove, suspend and resume; the module's exit comes after all of them.
    bound.at_passive(|cx, bound| unsafe { bound.remove(cx, present) })
}

/// Gives up the C glue's reference. Process context.
///
/// # Safety
/// [`remove`] has returned, and `bound` is not used again.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn drop_device<P: Plugin>(bound: BoundPtr<P>) {
    // SAFETY: it came from `BoundDevice::into_raw`, in `bind`, and the C glue forgets it now.
    drop(unsafe { BoundDevice::<P>::from_raw(bound.into_raw()) })
}

/// The device goes to sleep. Process context.
///
/// # Safety
/// `bound` was not removed; no [`resume`] or [`remove`] of it runs at the same time.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn suspend<P: Plugin>(bound: BoundPtr<P>) {
    // The freezer has waited for calls before: a call that is inside still is about to leave.
    // SAFETY: the driver core holds the device's lock around suspend, resume and remove.
    bound.at_passive(|cx, bound| unsafe { bound.suspend(cx, u64::MAX) })
}

/// The device is awake. Process context.
///
/// # Safety
/// As [`suspend`].
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn resume<P: Plugin>(bound: BoundPtr<P>) {
    // SAFETY: the driver core holds the device's lock around suspend, resume and remove.
    bound.at_passive(|cx, bound| unsafe { bound.resume(cx) })
}

/// The device is about to be reset, and not by the plugin. Process context.
///
/// # Safety
/// As [`suspend`].
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn reset_prepare<P: Plugin>(bound: BoundPtr<P>) {
    // SAFETY: the PCI core holds the device's lock around a reset, as around suspend, resume and remove.
    bound.at_passive(|cx, bound| unsafe { bound.reset_prepare(cx) })
}

/// The reset is over. Process context.
///
/// # Safety
/// As [`suspend`].
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn reset_done<P: Plugin>(bound: BoundPtr<P>) {
    // SAFETY: the PCI core holds the device's lock around a reset, as around suspend, resume and remove.
    bound.at_passive(|cx, bound| unsafe { bound.reset_done(cx) })
}

/// open(2): a session's handle. Process context. 0, or a negative errno.
///
/// # Safety
/// The C glue calls this, as the invariant of [`BoundPtr`] says.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn open<P: Plugin>(
    bound: BoundPtr<P>,
    process: u32,
    admin: bool,
    is_32bit: bool,
    session: &mut MaybeUninit<SessionPtr<P>>,
) -> i32 {
    let caller = Caller::new(process, admin, is_32bit);
    match bound.at_passive(|cx, bound| bound.session(cx, caller)) {
        Ok(handle) => {
            session.write(SessionPtr::new(handle));
            0
        }
        Err(error) => errno(error.status) as i32,
    }
}

/// The last reference of the file is gone. Process context.
///
/// # Safety
/// No request of `session` runs, and it is not used again.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn release<P: Plugin>(session: SessionPtr<P>) {
    // SAFETY: it came from `BoundDevice::session`, in `open`. The kernel calls release once, when no system call on the file runs or comes.
    let release = |cx: &mut Passive| unsafe { Session::release(session.into_raw(), cx) };
    // SAFETY: release runs in process context, and outside any other entry point.
    unsafe { passive(release) }
}

/// ioctl(2), for the right type and direction. `limit`: end of the caller's user memory; `mode`: the file's. Process context. 0, or a
/// negative errno.
///
/// # Safety
/// The C glue calls this, as the invariant of [`SessionPtr`] says.
#[inline]
pub unsafe fn request<P: Plugin>(session: SessionPtr<P>, nr: u32, address: usize, limit: u64, mode: u32) -> isize {
    if nr == kp_abi::ring::ENTER_DIRECT {
        let is_read_write = mode & 3 == 3;
        return direct_answer(
            session.at_passive(|cx, session| session.enter_directly(cx, address as u32, is_read_write)),
        );
    }
    let mut request = IoctlRequest::new(address, limit, mode);
    match session.at_passive(|cx, session| session.request(cx, nr, &mut request)) {
        Ok(()) => 0,
        // What is left of the time stands in the struct: the kernel may call again. Anything else would be done twice.
        Err(Status::INTERRUPTED) if nr == kp_abi::request::IntWait::NR => -ERESTARTSYS,
        Err(status) => errno(status),
    }
}

/// ioctl(2) with a direct call of message `message`; else as [`request`]. 0, a status, or a negative errno.
///
/// # Safety
/// The C glue calls this, as the invariant of [`SessionPtr`] says.
#[inline]
pub unsafe fn direct<P: Plugin>(session: SessionPtr<P>, message: u32, address: usize, limit: u64, mode: u32) -> isize {
    let request = IoctlRequest::direct(address, limit, mode);
    direct_answer(session.at_passive(|cx, session| session.direct(cx, message, request)))
}

/// What ioctl(2) answers a direct call: the plugin's status, or the negative errno of a refusal.
#[inline(always)]
fn direct_answer(result: DirectResult) -> isize {
    match result {
        Ok(status) => status.0 as isize,
        Err(status) => errno(status),
    }
}

/// poll(2): [`READY_NOTIFICATION`] and [`READY_OVER`]. Process context.
///
/// # Safety
/// The C glue calls this, as the invariant of [`SessionPtr`] says.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn ready<P: Plugin>(session: SessionPtr<P>) -> u32 {
    let readiness = session.at_passive(|cx, session| session.readiness(cx));
    (u32::from(readiness.notification) * READY_NOTIFICATION) | (u32::from(readiness.over) * READY_OVER)
}

/// The wait queue of a session, for poll(2).
///
/// # Safety
/// The C glue calls this, as the invariant of [`SessionPtr`] says.
pub unsafe fn wait_queue<P: Plugin>(session: SessionPtr<P>) -> *mut c_void {
    session.get().wait_queue().as_ptr().cast()
}

/// mmap(2) of `len` bytes at `offset`, shared, into `vma`. Process context. 0, or a negative errno.
///
/// # Safety
/// `vma` is the vm_area_struct that is being made.
#[cfg_attr(kp_driver, optimize(size))]
pub unsafe fn map<P: Plugin>(session: SessionPtr<P>, vma: *mut c_void, offset: u64, len: usize, write: bool) -> i32 {
    let mapped = session.get().map_shared(offset, len, write, |memory, writable| {
        // SAFETY: the memory came from `kp_c_alloc_mmap_pages`, and is there as long as this runs; `vma` is the one of the kernel's mmap.
        unsafe { c::kp_c_shared_map(vma, memory.as_ptr(), writable) }
    });
    mapped.unwrap_or_else(|status| errno(status) as i32)
}
