//! Another driver's device object, above which this driver's is attached.
use crate::{kernel::event::Event, nt::*};
use core::{ffi::c_void, ptr};

/// A device object of a device's stack: the bus's, or the one below this driver's. It stays as long as this driver's is attached, which is as
/// long as anything here uses it.
#[derive(Clone, Copy)]
pub(crate) struct StackDevice(*mut DeviceObject);

impl StackDevice {
    /// # Safety
    /// The kernel has given it for a device that this driver adds, and nothing uses the value when that one has left its stack.
    pub(crate) unsafe fn from_raw(device: *mut DeviceObject) -> Self {
        Self(device)
    }

    pub(crate) fn as_raw(self) -> *mut DeviceObject {
        self.0
    }

    /// A device property, into `place`; how long it is. Passive.
    fn property(self, property: i32, place: *mut c_void, len: u32) -> Result<u32, NtStatus> {
        let mut needed = 0;
        // SAFETY: alive, as is its bus; the two callers' places are writable for this length.
        let status = unsafe { IoGetDeviceProperty(self.0, property, len, place, &mut needed) };
        if status < 0 { Err(status) } else { Ok(needed) }
    }

    /// A property that is a number, if the device has it. Passive.
    pub(crate) fn number(self, property: i32) -> Option<u32> {
        let mut value = 0_u32;
        self.property(property, (&raw mut value).cast(), 4).ok()?;
        Some(value)
    }

    /// A property that is a text, in `units`. Passive.
    pub(crate) fn text(self, property: i32, units: &mut [u16; 128]) -> Result<UnicodeString, NtStatus> {
        let len = size_of_val(units) as u32;
        let needed = self.property(property, units.as_mut_ptr().cast(), len)?;
        let length = needed.min(len).saturating_sub(2) as u16; // without the zero at the end
        Ok(UnicodeString { length, maximum_length: length, buffer: units.as_ptr() })
    }

    /// Asks for a state of the device's power. `done`, if it is there, runs with `context` when it is reached. Up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `done` may be called once with this context, after the device has taken the request.
    pub(crate) unsafe fn request_power(self, state: i32, done: Option<PowerDone>, context: *mut c_void) -> NtStatus {
        // SAFETY: the bus's device, alive; the caller's promise for `done`.
        unsafe { PoRequestPowerIrp(self.0, power::SET_POWER, state, done, context, ptr::null_mut()) }
    }

    /// Asks the driver below for its interface of the bus. Passive.
    pub(crate) fn bus_interface(self) -> Result<BusInterface, NtStatus> {
        // SAFETY: the GUID's interface.
        unsafe { self.interface(&BUS_INTERFACE, BusInterface::UNUSED) }
    }

    /// Asks it for its interface of the device's MSI-X table. Passive.
    pub(crate) fn msix_table(self) -> Result<MsixTableInterface, NtStatus> {
        // SAFETY: the GUID's interface.
        unsafe { self.interface(&MSIX_TABLE_INTERFACE, MsixTableInterface::UNUSED) }
    }

    /// Asks the driver below for an interface, version 1. Passive.
    ///
    /// # Safety
    /// It is the struct of this GUID.
    unsafe fn interface<T>(self, kind: &'static Guid, mut interface: T) -> Result<T, NtStatus> {
        let query_interface = QueryInterfaceParameters {
            interface_type: kind,
            size: size_of::<T>() as u16,
            version: 1,
            _pad: 0,
            interface: (&raw mut interface).cast(),
            interface_specific_data: ptr::null_mut(),
        };
        // SAFETY: the interface has the size that the request names, and is on this stack until the answer.
        let status = unsafe { self.ask(pnp::QUERY_INTERFACE, Parameters { query_interface }) };
        if status < 0 { Err(status) } else { Ok(interface) }
    }

    /// Sends a plug-and-play request of this driver's own, and waits for the answer. Passive.
    ///
    /// # Safety
    /// The parameters are those of this minor function, and what they point to stays until this returns.
    unsafe fn ask(self, minor: u8, parameters: Parameters) -> NtStatus {
        let mut status = IoStatusBlock { status: STATUS_NOT_SUPPORTED, information: 0 };
        let sent = Event::on_stack(|event| {
            let (raw, none) = (self.0, ptr::null_mut());
            // SAFETY: event and status stay until the request is completed, which is waited for.
            let irp = unsafe {
                IoBuildSynchronousFsdRequest(major::PNP as u32, raw, none, 0, ptr::null(), event.as_raw(), &mut status)
            };
            // SAFETY: null, or a new request.
            let Some(request) = (unsafe { irp.as_mut() }) else { return STATUS_INSUFFICIENT_RESOURCES };
            request.io_status.status = STATUS_NOT_SUPPORTED;
            // SAFETY: a new request has a location for each device of the stack; the next one is the device's below.
            let next = unsafe { &mut *request.current_stack_location.wrapping_sub(1) };
            next.minor_function = minor;
            next.parameters = parameters;
            // SAFETY: a complete request, which the kernel frees when it is completed.
            let sent = unsafe { IofCallDriver(raw, irp) };
            if sent == STATUS_PENDING {
                event.wait(wait_reason::EXECUTIVE, None);
            }
            sent
        });
        if sent == STATUS_PENDING { status.status } else { sent }
    }
}
