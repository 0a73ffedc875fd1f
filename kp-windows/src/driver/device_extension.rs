//! A device of a stack: the device object between the bus's and whatever filters there are, from AddDevice to REMOVE_DEVICE.
use crate::{
    device::{hardware::Hardware, stack_device::StackDevice},
    driver::new_device::NewDevice,
    io::{node::Node, work_item::WorkItem},
    kernel::{lock::Mutex, names::Name, pool_box::PoolBox, spin_lock::SpinLock},
    nt::{self, *},
};
use core::{
    mem::ManuallyDrop,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering::*},
};

/// The extension of such a device. What it holds is given back in this order.
#[repr(C)]
pub(crate) struct DeviceExtension {
    /// The first, as what apps open is of any device.
    pub(crate) node: Node,
    /// The bus's device object.
    pub(crate) pdo: StackDevice,
    attached: Attached,
    interface: DeviceInterface,
    /// For a change of the device's power: the power manager asks for one at a time.
    pub(crate) power_work: WorkItem,
    /// For the system's request to sleep, if the device's power cannot be asked for: one at a time, too.
    pub(crate) system_sleep_work: WorkItem,
    /// For asking again for the device's power.
    pub(crate) power_retry: PowerRetry,
    /// Who starts, stops, suspends or resumes the device has it: one at a time.
    started: Mutex<StartedState>,
}

const _: () = assert!(core::mem::offset_of!(DeviceExtension, node) == 0);

/// Asking again for a device's power, which could not be asked for as the system woke.
pub(crate) struct PowerRetry {
    pub(crate) work: WorkItem,
    /// Whether the system sleeps or is about to. Held while power is asked for: what comes after the system's next request to sleep comes too
    /// late.
    pub(crate) system_sleeps: SpinLock<bool>,
    /// How often still.
    pub(crate) left: AtomicU32,
    /// It is queued, or runs.
    pub(crate) is_under_way: AtomicBool,
}

/// What is there while a device is started.
pub(crate) struct StartedState {
    /// What a plugin that has panicked may use stays for good: this is not dropped with the rest.
    pub(crate) hardware: Option<ManuallyDrop<PoolBox<Hardware>>>,
    /// The name that apps open.
    pub(crate) link: Option<Name>,
    /// The device interface is enabled.
    pub(crate) interface_is_enabled: bool,
    pub(crate) suspended: bool,
}

impl StartedState {
    const NOT_STARTED: Self = Self { hardware: None, link: None, interface_is_enabled: false, suspended: false };
}

impl DeviceExtension {
    /// Adds a device to the stack of `pdo`. After an error nothing is left. Passive.
    ///
    /// # Safety
    /// AddDevice of this driver runs, with these arguments.
    pub(crate) unsafe fn add(driver: *mut DriverObject, pdo: *mut nt::DeviceObject) -> Result<(), NtStatus> {
        const NO_MEMORY: NtStatus = STATUS_INSUFFICIENT_RESOURCES;
        // SAFETY: the kernel's own object. The bus's device has a name, and the INF says who may open it.
        let device = unsafe { NewDevice::<Self>::create(driver, None) }?;
        // SAFETY: the bus's, for which the device is added.
        let pdo = unsafe { StackDevice::from_raw(pdo) };
        let started = Mutex::new(StartedState::NOT_STARTED).ok_or(NO_MEMORY)?;
        // SAFETY: the new device's, which frees it.
        let item = || unsafe { WorkItem::new(device.as_raw()) }.ok_or(NO_MEMORY);
        let (power_work, system_sleep_work) = (item()?, item()?);
        let power_retry = PowerRetry {
            work: item()?,
            system_sleeps: SpinLock::new(false),
            left: AtomicU32::new(0),
            is_under_way: AtomicBool::new(false),
        };
        let interface = DeviceInterface::register(pdo)?;
        let (node, attached) = (Node::new(), Attached::not_yet(pdo));
        let this = Self { node, pdo, attached, interface, power_work, system_sleep_work, power_retry, started };
        // SAFETY: once, and the extension stays where it is.
        let init = |this: &Self| unsafe { this.node.init_remove_lock() };
        let device = device.finish(this, init, device_flag::POWER_PAGABLE);
        // From here on requests come, so all of the extension is written by now.
        let attached = device.attached.attach(device.as_raw());
        if attached.is_err() {
            // SAFETY: added, and in no stack: nobody knows of it.
            unsafe { Self::delete(device.as_raw()) };
            return attached;
        }
        device.is_ready();
        Ok(())
    }

    /// Takes the device out of its stack, and deletes it. Passive.
    ///
    /// # Safety
    /// It was [added](Self::add), and nothing uses it any more.
    pub(crate) unsafe fn delete(device: *mut nt::DeviceObject) {
        // SAFETY: added, and not deleted yet.
        let place = unsafe { (*device).device_extension }.cast::<Self>();
        // SAFETY: written by `add`, and not used any more.
        unsafe { place.drop_in_place() };
        // SAFETY: created by `add`, and in no stack.
        unsafe { IoDeleteDevice(device) };
    }

    /// The device object below.
    pub(crate) fn lower(&self) -> StackDevice {
        self.attached.lower()
    }

    /// Runs `f` with what is there while the device is started, one at a time. Passive.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut StartedState) -> R) -> R {
        self.started.with(f)
    }

    /// Enables or disables the device interface. Passive.
    pub(crate) fn enable_interface(&self, on: bool) -> Result<(), NtStatus> {
        // SAFETY: the kernel's own string.
        let status = unsafe { IoSetDeviceInterfaceState(&self.interface.0, on.into()) };
        if status < 0 { Err(status) } else { Ok(()) }
    }
}

/// A device's place in its stack, which it leaves when this is dropped.
struct Attached {
    /// The device below; while the new one is being attached, the bus's.
    lower: AtomicPtr<nt::DeviceObject>,
    is_attached: AtomicBool,
}

impl Attached {
    /// To be attached above `pdo`, and what is above that by then.
    fn not_yet(pdo: StackDevice) -> Self {
        Self { lower: AtomicPtr::new(pdo.as_raw()), is_attached: AtomicBool::new(false) }
    }

    fn lower(&self) -> StackDevice {
        // SAFETY: the bus's device, or the one below this one's, which goes on being there while this one is attached.
        unsafe { StackDevice::from_raw(self.lower.load(Acquire)) }
    }

    /// Attaches the device, whose extension has this.
    fn attach(&self, device: *mut nt::DeviceObject) -> Result<(), NtStatus> {
        // SAFETY: two devices of which the first is new.
        let lower = unsafe { IoAttachDeviceToDeviceStack(device, self.lower().as_raw()) };
        if lower.is_null() {
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        self.lower.store(lower, Release);
        self.is_attached.store(true, Release);
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if *self.is_attached.get_mut() {
            // SAFETY: attached by `attach`.
            unsafe { IoDetachDevice(*self.lower.get_mut()) };
        }
    }
}

/// GUID of the device interface of all plugins' devices, {6c6aa352-50f9-4ffa-ab38-5e9267c317f2}.
static INTERFACE: Guid =
    Guid { a: 0x6C6A_A352, b: 0x50F9, c: 0x4FFA, d: [0xAB, 0x38, 0x5E, 0x92, 0x67, 0xC3, 0x17, 0xF2] };

/// A device's interface of that class: its name, the kernel's.
struct DeviceInterface(UnicodeString);

impl DeviceInterface {
    fn register(pdo: StackDevice) -> Result<Self, NtStatus> {
        let mut name = UnicodeString { length: 0, maximum_length: 0, buffer: ptr::null() };
        // SAFETY: the bus's device, a class, a writable place.
        let status = unsafe { IoRegisterDeviceInterface(pdo.as_raw(), &INTERFACE, ptr::null(), &mut name) };
        if status < 0 { Err(status) } else { Ok(Self(name)) }
    }
}

impl Drop for DeviceInterface {
    fn drop(&mut self) {
        // SAFETY: the kernel's own string, freed once.
        unsafe { RtlFreeUnicodeString(&mut self.0) };
    }
}
