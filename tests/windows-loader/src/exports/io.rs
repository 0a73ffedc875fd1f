//! Io…, Ob…: device objects and names.
use crate::{
    counted_text,
    cpu::{self, checked},
    exports::exports,
    irp,
    kernel::lock,
    nt::{
        DeviceObject, DriverObject, Irp, NtStatus, STATUS_INVALID_DEVICE_REQUEST, STATUS_OBJECT_NAME_COLLISION,
        STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS, UnicodeString, device_flags,
    },
    objects::Device,
    rule::Rule,
};
use std::{ffi::c_void, ptr, sync::Arc};

/// The dispatch function of what a driver has none for.
pub(crate) fn invalid_request() -> usize {
    extern "efiapi" fn dispatch(_: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
        // SAFETY: the request that this function is called for.
        unsafe { (*irp).io_status.status = STATUS_INVALID_DEVICE_REQUEST };
        checked(irp::complete(&cpu::kernel(), irp));
        STATUS_INVALID_DEVICE_REQUEST
    }
    (dispatch as *const ()).expose_provenance()
}

exports! {
    [0..=0] fails status fn IoCreateDevice(driver: *mut DriverObject, extension: u32, name: *const UnicodeString, kind: u32, characteristics: u32, _exclusive: u8, device: *mut *mut DeviceObject) -> NtStatus {
        let kernel = cpu::kernel();
        let Some(service) = kernel.service(driver.expose_provenance()) else {
            cpu::fail(Rule::DriverObject.broken(format!("IoCreateDevice: {driver:p} is no driver object")));
        };
        let name = counted_text::string(name).map(|name| name.to_lowercase());
        let mut objects = lock(&kernel.objects);
        if name.is_some() && objects.devices.values().any(|device| device.name == name) {
            return STATUS_OBJECT_NAME_COLLISION;
        }
        let size = size_of::<DeviceObject>() + extension as usize;
        let address = kernel.allocate(size, b"Devi", true);
        let object = ptr::with_exposed_provenance_mut::<DeviceObject>(address);
        // SAFETY: fresh memory of this size, zeroed; and the driver's own objects.
        unsafe {
            (*object).kind = 3;
            (*object).size = size as u16;
            (*object).driver_object = driver;
            (*object).next_device = (*driver).device_object;
            (*driver).device_object = object;
            (*object).flags = device_flags::INITIALIZING;
            (*object).characteristics = characteristics;
            (*object).device_type = kind;
            (*object).stack_size = 1;
            if extension > 0 {
                (*object).device_extension = ptr::with_exposed_provenance_mut(address + size_of::<DeviceObject>());
            }
            *device = object;
        }
        let record = Device { name, dacl: None, files: Vec::new(), service: Arc::downgrade(&service) };
        objects.devices.insert(address, record);
        STATUS_SUCCESS
    }

    [0..=0] fn IoDeleteDevice(device: *mut DeviceObject) {
        let kernel = cpu::kernel();
        let Some(record) = lock(&kernel.objects).devices.remove(&device.expose_provenance()) else {
            cpu::fail(Rule::DeviceObject.broken(format!("IoDeleteDevice: {device:p} is no device object")));
        };
        if record.files.iter().any(|file| file.strong_count() > 0) {
            cpu::fail(Rule::DeviceClosed.broken(format!("IoDeleteDevice: {device:p} has open files")));
        }
        // SAFETY: a device object of the list that begins in its driver's object.
        unsafe {
            let mut link = &raw mut (*(*device).driver_object).device_object;
            while !(*link).is_null() && *link != device {
                link = &raw mut (**link).next_device;
            }
            if *link == device {
                *link = (*device).next_device;
            }
        }
        checked(kernel.pool.free(device.expose_provenance(), None));
    }

    [0..=0] fails status fn IoCreateSymbolicLink(link: *const UnicodeString, target: *const UnicodeString) -> NtStatus {
        let (Some(link), Some(target)) = (counted_text::string(link), counted_text::string(target)) else {
            cpu::fail(Rule::SymbolicLink.broken("IoCreateSymbolicLink: a name is null"));
        };
        let kernel = cpu::kernel();
        let mut objects = lock(&kernel.objects);
        let link = link.to_lowercase().replacen(r"\??\", r"\dosdevices\", 1);
        if objects.links.contains_key(&link) {
            return STATUS_OBJECT_NAME_COLLISION;
        }
        objects.links.insert(link, target);
        STATUS_SUCCESS
    }

    [0..=0] fn IoDeleteSymbolicLink(link: *const UnicodeString) -> NtStatus {
        let link = counted_text::string(link).unwrap_or_default().to_lowercase().replacen(r"\??\", r"\dosdevices\", 1);
        match lock(&cpu::kernel().objects).links.remove(&link) {
            Some(_) => STATUS_SUCCESS,
            None => STATUS_OBJECT_NAME_NOT_FOUND,
        }
    }

    [0..=0] fails status fn ObOpenObjectByPointer(object: *mut c_void, _attributes: u32, _state: *mut c_void, access: u32, _kind: *mut c_void, _mode: i8, handle: *mut usize) -> NtStatus {
        let kernel = cpu::kernel();
        let mut objects = lock(&kernel.objects);
        let address = object.expose_provenance();
        if !objects.devices.contains_key(&address) {
            drop(objects);
            cpu::fail(Rule::ObjectPointer.broken(format!("ObOpenObjectByPointer: {object:p} is no object")));
        }
        let new = objects.handle(address, access);
        // SAFETY: the driver's place for the handle.
        unsafe { *handle = new };
        STATUS_SUCCESS
    }
}
