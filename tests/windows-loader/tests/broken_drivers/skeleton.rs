//! What the broken drivers have in common: a device that anybody may open, whose device controls are the test's.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};
use windows_loader::{
    Handle, Machine, Mode, Rule, Token, access, kernel_call,
    nt::{DeviceObject, Dispatch, DriverObject, Irp, NtStatus, STATUS_SUCCESS, UnicodeString, major},
};

fn string(units: &'static [u16]) -> UnicodeString {
    let length = 2 * units.len() as u16;
    UnicodeString { length, maximum_length: length, buffer: units.as_ptr() }
}

/// As the kernel writes it.
pub fn utf16(text: &str) -> &'static [u16] {
    text.encode_utf16().collect::<Vec<_>>().leak()
}

/// DriverEntry.
pub fn make(driver: *mut DriverObject, on_control: Dispatch) -> NtStatus {
    let (name, link) = (string(utf16(r"\Device\planted")), string(utf16(r"\DosDevices\planted")));
    let mut device = ptr::null_mut();
    let status = kernel_call!("IoCreateDevice"(driver => *mut DriverObject, 64 => u32, &name => *const UnicodeString, 0x22 => u32, 0x100 => u32, 0 => u8, &mut device => *mut *mut DeviceObject) -> NtStatus);
    assert_eq!(status, STATUS_SUCCESS);
    kernel_call!("IoCreateSymbolicLink"(&link => *const UnicodeString, &name => *const UnicodeString) -> NtStatus);
    // SAFETY: the kernel's driver object, in DriverEntry.
    let object = unsafe { &mut *driver };
    let simple = (succeed as *const ()).expose_provenance();
    for major in [major::CREATE, major::CLEANUP, major::CLOSE] {
        object.major_function[usize::from(major)] = simple;
    }
    object.major_function[usize::from(major::DEVICE_CONTROL)] = (on_control as *const ()).expose_provenance();
    object.driver_unload = (unload as *const ()).expose_provenance();
    STATUS_SUCCESS
}

extern "efiapi" fn unload(driver: *mut DriverObject) {
    let link = string(utf16(r"\DosDevices\planted"));
    kernel_call!("IoDeleteSymbolicLink"(&link => *const UnicodeString) -> NtStatus);
    // SAFETY: the kernel's driver object, with the device that `make` has made.
    let device = unsafe { (*driver).device_object };
    kernel_call!("IoDeleteDevice"(device => *mut DeviceObject));
}

/// Completes a request.
pub fn complete(irp: *mut Irp, status: NtStatus) -> NtStatus {
    // SAFETY: the driver's request.
    unsafe { (*irp).io_status.status = status };
    kernel_call!("IofCompleteRequest"(irp => *mut Irp, 0 => i8));
    status
}

extern "efiapi" fn succeed(_: *mut DeviceObject, irp: *mut Irp) -> NtStatus {
    complete(irp, STATUS_SUCCESS)
}

/// An administrator's handle of the device.
pub fn open(machine: &Machine) -> Handle {
    machine.process(Token::Administrator).open(r"\\.\planted", access::READ, Mode::Overlapped).expect("it opens")
}

/// What ends a run, or is found when the machine is looked at in the end.
pub fn verdict(machine: &Machine, run: impl FnOnce()) -> String {
    let panicked = catch_unwind(AssertUnwindSafe(run)).is_err();
    match machine.leaks() {
        Err(verdict) => {
            assert!(panicked || machine.verdict().is_none(), "who uses a machine that was stopped is told so");
            verdict.to_string()
        }
        Ok(leaks) => {
            assert!(!panicked, "the test's own panic");
            leaks.join("\n")
        }
    }
}

/// A verdict says this, and where the rule is written.
pub fn says(said: &str, rule: Option<Rule>, want: &str, deed: &str) {
    assert!(said.contains(want), "{deed}: {said}");
    let source = rule.map_or(String::new(), |rule| rule.source().to_string());
    assert!(said.contains(&source), "{deed}: {said}, and not by {source}");
}
