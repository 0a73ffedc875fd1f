//! A device of a stack: the device object between the bus's and whatever filters there are, from AddDevice to REMOVE_DEVICE.
use crate::{
    device::hardware::Hardware,
    driver::node::Node,
    kernel::{lock, names::Name},
    nt::*,
};
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicU32},
};
use kp_abi::request::CTL_DEVICE;
use kp_core::host::lock_kind;

/// The extension of such a device.
#[repr(C)]
pub(crate) struct DeviceExtension {
    pub(crate) node: Node,
    /// The bus's device object.
    pub(crate) pdo: *mut DeviceObject,
    /// The device object below.
    pub(crate) lower: *mut DeviceObject,
    /// Held by whoever starts, stops, suspends or resumes it: one at a time. A mutex.
    pnp_lock: *mut u8,
    /// For a change of the device's power: the power manager asks for one at a time.
    pub(crate) work: *mut c_void,
    /// For the system's request to sleep, if the device's power cannot be asked for: one at a time, too.
    pub(crate) unasked: *mut c_void,
    /// For asking again for the device's power.
    pub(crate) again: Again,
    /// Name of the device interface, the kernel's.
    pub(crate) interface: UnicodeString,
    /// Under `pnp_lock`.
    started: UnsafeCell<StartedState>,
}

/// Asking again for a device's power, which could not be asked for as the system woke. Zero is a valid value.
#[repr(C)]
pub(crate) struct Again {
    pub(crate) work: *mut c_void,
    /// Guards `system_sleeps`, and is held while power is asked for: what comes after the system's next request to sleep comes too late.
    lock: UnsafeCell<SpinLock>,
    system_sleeps: UnsafeCell<bool>,
    /// How often still.
    pub(crate) times: AtomicU32,
    /// It is queued, or runs.
    pub(crate) is_under_way: AtomicBool,
}

impl Again {
    /// Runs `f` with whether the system sleeps or is about to, which does not change meanwhile. Up to DISPATCH_LEVEL; `f` at that.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut bool) -> R) -> R {
        // SAFETY: the record's own lock.
        let irql = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        // SAFETY: under the lock.
        let result = f(unsafe { &mut *self.system_sleeps.get() });
        // SAFETY: taken above.
        unsafe { KeReleaseSpinLock(self.lock.get(), irql) };
        result
    }
}

/// What is there while a device is started.
pub(crate) struct StartedState {
    pub(crate) hardware: Option<NonNull<Hardware>>,
    /// The name that apps open.
    pub(crate) link: Option<Name>,
    /// The device interface is enabled.
    pub(crate) is_shown: bool,
    pub(crate) suspended: bool,
}

/// GUID of the device interface of all plugins' devices, {6c6aa352-50f9-4ffa-ab38-5e9267c317f2}.
static INTERFACE: Guid =
    Guid { a: 0x6C6A_A352, b: 0x50F9, c: 0x4FFA, d: [0xAB, 0x38, 0x5E, 0x92, 0x67, 0xC3, 0x17, 0xF2] };

impl DeviceExtension {
    /// # Safety
    /// The device was made by [`add`](Self::add), and is not deleted before the reference is used for the last time.
    pub(crate) unsafe fn of<'a>(device: *mut DeviceObject) -> &'a Self {
        // SAFETY: the caller's promise.
        let extension = unsafe { (*device).device_extension };
        // SAFETY: as above.
        unsafe { &*extension.cast::<Self>() }
    }

    /// Adds a device to the stack of `pdo`. After an error nothing is left. Passive.
    ///
    /// # Safety
    /// AddDevice of this driver runs, with these arguments.
    pub(crate) unsafe fn add(driver: *mut DriverObject, pdo: *mut DeviceObject) -> Result<(), NtStatus> {
        let mut device = ptr::null_mut();
        let extension = size_of::<Self>() as u32;
        // SAFETY: the kernel's own object, no name, a writable place. The bus's device has a name, and the INF says who may open it.
        let status = unsafe {
            IoCreateDevice(driver, extension, ptr::null(), CTL_DEVICE, FILE_DEVICE_SECURE_OPEN, 0, &mut device)
        };
        if status < 0 {
            return Err(status);
        }
        // SAFETY: the device of above.
        let place = unsafe { (*device).device_extension }.cast::<Self>();
        // SAFETY: as above: its own memory, of this size.
        let added = unsafe { Self::fill(place, device, pdo) };
        if added.is_err() {
            // SAFETY: as above; what was not made is null.
            unsafe { &*place }.free();
            // SAFETY: the device of above; nobody could open it.
            unsafe { IoDeleteDevice(device) };
        }
        added
    }

    /// # Safety
    /// `place` is the zeroed extension of the new `device`.
    unsafe fn fill(place: *mut Self, device: *mut DeviceObject, pdo: *mut DeviceObject) -> Result<(), NtStatus> {
        // SAFETY: the caller's promise: the extension begins with the node.
        unsafe { Node::write(place.cast()) };
        // SAFETY: as above; zero is a valid value of each field.
        let this = unsafe { &mut *place };
        *this.started.get_mut() = StartedState { hardware: None, link: None, is_shown: false, suspended: false };
        this.pdo = pdo;
        this.pnp_lock = lock::new(lock_kind::MUTEX);
        for work in [&mut this.work, &mut this.unasked, &mut this.again.work] {
            // SAFETY: a device of this driver.
            *work = unsafe { IoAllocateWorkItem(device) };
        }
        if this.pnp_lock.is_null() || this.work.is_null() || this.unasked.is_null() || this.again.work.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        // SAFETY: the bus's device, a class, a writable place.
        let status = unsafe { IoRegisterDeviceInterface(pdo, &INTERFACE, ptr::null(), &mut this.interface) };
        if status < 0 {
            return Err(status);
        }
        // SAFETY: two devices of which the first is new.
        this.lower = unsafe { IoAttachDeviceToDeviceStack(device, pdo) };
        if this.lower.is_null() {
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        // SAFETY: the new device, which nobody can open yet.
        let flags = unsafe { &mut (*device).flags };
        *flags = (*flags | device_flag::POWER_PAGABLE) & !device_flag::INITIALIZING;
        Ok(())
    }

    /// Gives back what the extension holds. Passive.
    fn free(&self) {
        let mut interface = UnicodeString {
            length: self.interface.length,
            maximum_length: self.interface.maximum_length,
            buffer: self.interface.buffer,
        };
        // SAFETY: the kernel's own string, or an empty one; freed once.
        unsafe { RtlFreeUnicodeString(&mut interface) };
        for work in [self.work, self.unasked, self.again.work].into_iter().filter(|work| !work.is_null()) {
            // SAFETY: allocated by `fill`, and not queued.
            unsafe { IoFreeWorkItem(work) };
        }
        if !self.pnp_lock.is_null() {
            // SAFETY: made by `fill`; nobody holds it.
            unsafe { lock::free(self.pnp_lock, lock_kind::MUTEX) };
        }
    }

    /// Takes the device out of its stack, and deletes it. Passive.
    ///
    /// # Safety
    /// It was [added](Self::add), and nothing uses it any more.
    pub(crate) unsafe fn delete(device: *mut DeviceObject) {
        // SAFETY: the caller's promise.
        let this = unsafe { Self::of(device) };
        // SAFETY: attached by `fill`.
        unsafe { IoDetachDevice(this.lower) };
        this.free();
        // SAFETY: the caller's promise.
        unsafe { IoDeleteDevice(device) };
    }

    /// Runs `f` with what is there while the device is started, one at a time. Passive.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut StartedState) -> R) -> R {
        // SAFETY: made by `fill`, alive with the device.
        let saved = unsafe { lock::acquire(self.pnp_lock, lock_kind::MUTEX) };
        // SAFETY: under the lock.
        let result = f(unsafe { &mut *self.started.get() });
        // SAFETY: taken above.
        unsafe { lock::release(self.pnp_lock, lock_kind::MUTEX, saved) };
        result
    }
}
