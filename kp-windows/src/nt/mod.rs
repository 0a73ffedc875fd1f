//! The part of the NT kernel's binary interface that the port uses, for 64-bit Windows 10 and later. Written by hand: no WDK is
//! needed, and every offset that matters is asserted when it is compiled.
mod imports;
mod layouts;
mod structs;

pub(crate) use imports::*;
pub(crate) use structs::*;

/// What most kernel functions answer; negative: an error.
pub(crate) type NtStatus = i32;

pub(crate) const STATUS_SUCCESS: NtStatus = 0;
/// KeWaitForSingleObject: the time is up. It counts as success.
pub(crate) const STATUS_TIMEOUT: NtStatus = 0x102;
pub(crate) const STATUS_OBJECT_NAME_NOT_FOUND: NtStatus = 0xC000_0034_u32 as i32;

/// Major function numbers, places in [`DriverObject::major_function`].
pub(crate) mod major {
    pub(crate) const CREATE: usize = 0;
    pub(crate) const CLOSE: usize = 2;
    pub(crate) const DEVICE_CONTROL: usize = 14;
    pub(crate) const CLEANUP: usize = 18;
}

/// Pool type: non-paged, and not executable.
pub(crate) const NON_PAGED_POOL_NX: i32 = 512;
/// Access to a path behind the device's name is checked as access to the device.
pub(crate) const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;
/// Bit of a handle's attributes: no process can use it.
pub(crate) const OBJ_KERNEL_HANDLE: u32 = 0x200;
/// Access right: change the list of who may have access.
pub(crate) const WRITE_DAC: u32 = 0x4_0000;
/// Part of a security descriptor: who may have access.
pub(crate) const DACL_SECURITY_INFORMATION: u32 = 4;
/// The privilege to load drivers.
pub(crate) const SE_LOAD_DRIVER_PRIVILEGE: u64 = 10;

/// A processor mode.
pub(crate) mod mode {
    pub(crate) const KERNEL: i8 = 0;
    pub(crate) const USER: i8 = 1;
}

/// Why a thread waits.
pub(crate) mod wait_reason {
    pub(crate) const EXECUTIVE: i32 = 0;
    pub(crate) const USER_REQUEST: i32 = 6;
}

/// Kinds of event.
pub(crate) mod event_type {
    /// Lets one waiter through, and is clear again.
    pub(crate) const SYNCHRONIZATION: i32 = 1;
}

/// The highest level at which most kernel functions may be called.
pub(crate) const DISPATCH_LEVEL: u8 = 2;
