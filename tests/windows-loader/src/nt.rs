//! The kernel's structs as a driver sees them, for 64-bit Windows 10: the loader's own declaration, made independently of the one that
//! the driver was compiled with. Offsets: Microsoft's published headers; only what is used here has a name.
#![expect(missing_docs, reason = "the names are the documented ones of the structs' fields")]
use std::{
    ffi::c_void,
    mem::{offset_of, size_of},
};

/// What kernel functions answer; negative: an error.
pub type NtStatus = i32;

const fn status(value: u32) -> NtStatus {
    value as i32
}
macro_rules! define_statuses {
    ($($name:ident = $value:literal;)*) => { $(#[doc = stringify!($value)] pub const $name: NtStatus = status($value);)* };
}
define_statuses! {
    STATUS_SUCCESS = 0;
    STATUS_USER_APC = 0xC0;
    STATUS_TIMEOUT = 0x102;
    STATUS_PENDING = 0x103;
    STATUS_OBJECT_NAME_EXISTS = 0x4000_0000;
    STATUS_DATATYPE_MISALIGNMENT = 0x8000_0002;
    STATUS_UNSUCCESSFUL = 0xC000_0001;
    STATUS_ACCESS_VIOLATION = 0xC000_0005;
    STATUS_INVALID_PARAMETER = 0xC000_000D;
    STATUS_NO_SUCH_DEVICE = 0xC000_000E;
    STATUS_INVALID_DEVICE_REQUEST = 0xC000_0010;
    STATUS_MORE_PROCESSING_REQUIRED = 0xC000_0016;
    STATUS_ACCESS_DENIED = 0xC000_0022;
    STATUS_BUFFER_TOO_SMALL = 0xC000_0023;
    STATUS_OBJECT_TYPE_MISMATCH = 0xC000_0024;
    STATUS_OBJECT_NAME_NOT_FOUND = 0xC000_0034;
    STATUS_OBJECT_NAME_COLLISION = 0xC000_0035;
    STATUS_DELETE_PENDING = 0xC000_0056;
    STATUS_INVALID_HANDLE = 0xC000_0008;
    STATUS_INSUFFICIENT_RESOURCES = 0xC000_009A;
    STATUS_NOT_SUPPORTED = 0xC000_00BB;
    STATUS_DEVICE_BUSY = 0x8000_0011;
    STATUS_NOT_FOUND = 0xC000_0225;
    STATUS_CANCELLED = 0xC000_0120;
}

/// A driver's dispatch function.
pub type Dispatch = extern "efiapi" fn(*mut DeviceObject, *mut Irp) -> NtStatus;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct UnicodeString {
    pub length: u16,
    pub maximum_length: u16,
    pub buffer: *const u16,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ListEntry {
    pub flink: usize,
    pub blink: usize,
}

/// DISPATCHER_HEADER.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Header {
    pub kind: u8,
    pub _control: [u8; 3],
    pub signal_state: i32,
    pub wait_list: ListEntry,
}

/// KDPC.
#[repr(C)]
pub struct Kdpc {
    pub kind_and_importance: u32,
    pub entry: usize,
    pub _history: usize,
    pub routine: usize,
    pub context: usize,
    pub argument1: usize,
    pub argument2: usize,
    pub data: usize,
}

/// KTIMER.
#[repr(C)]
pub struct Ktimer {
    pub header: Header,
    pub due_time: u64,
    pub entry: ListEntry,
    pub dpc: *mut Kdpc,
    pub _processor: u32,
    pub period: u32,
}

#[repr(C)]
pub struct DriverExtension {
    pub driver_object: *mut DriverObject,
    pub add_device: usize,
    pub count: u32,
    pub service_key_name: UnicodeString,
}

#[repr(C)]
pub struct DriverObject {
    pub kind: i16,
    pub size: i16,
    pub device_object: *mut DeviceObject,
    pub flags: u32,
    pub driver_start: usize,
    pub driver_size: u32,
    pub driver_section: usize,
    pub driver_extension: *mut DriverExtension,
    pub driver_name: UnicodeString,
    pub hardware_database: usize,
    pub fast_io_dispatch: usize,
    pub driver_init: usize,
    pub driver_start_io: usize,
    pub driver_unload: usize,
    pub major_function: [usize; 28],
}

#[repr(C, align(16))]
pub struct DeviceObject {
    pub kind: i16,
    pub size: u16,
    pub reference_count: i32,
    pub driver_object: *mut DriverObject,
    pub next_device: *mut DeviceObject,
    pub attached_device: *mut DeviceObject,
    pub current_irp: *mut Irp,
    pub timer: usize,
    pub flags: u32,
    pub characteristics: u32,
    pub vpb: usize,
    pub device_extension: *mut c_void,
    pub device_type: u32,
    pub stack_size: i8,
    pub _rest: [usize; 32],
}

#[repr(C)]
pub struct FileObject {
    pub kind: i16,
    pub size: i16,
    pub device_object: *mut DeviceObject,
    pub vpb: usize,
    pub fs_context: *mut c_void,
    pub fs_context2: *mut c_void,
    pub _section: [usize; 2],
    pub final_status: NtStatus,
    pub related_file_object: *mut FileObject,
    pub lock_operation: u8,
    pub delete_pending: u8,
    pub read_access: u8,
    pub write_access: u8,
    pub delete_access: u8,
    pub shared: [u8; 3],
    pub flags: u32,
    pub file_name: UnicodeString,
    pub _rest: [usize; 14],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoStatusBlock {
    pub status: NtStatus,
    pub information: usize,
}

#[repr(C)]
pub struct Irp {
    pub kind: i16,
    pub size: u16,
    pub mdl_address: *mut Mdl,
    pub flags: u32,
    pub system_buffer: *mut c_void,
    pub thread_list: ListEntry,
    pub io_status: IoStatusBlock,
    pub requestor_mode: i8,
    pub pending_returned: u8,
    pub stack_count: i8,
    pub current_location: i8,
    pub cancel: u8,
    pub cancel_irql: u8,
    pub _apc: [u8; 2],
    pub user_iosb: usize,
    pub user_event: usize,
    pub overlay: [usize; 2],
    pub cancel_routine: usize,
    pub user_buffer: *mut c_void,
    pub driver_context: [usize; 4],
    pub thread: usize,
    pub auxiliary: usize,
    pub list_entry: ListEntry,
    pub current_stack_location: *mut IoStackLocation,
    pub original_file_object: *mut FileObject,
    pub _end: usize,
}

/// The parameters' meaning depends on the function.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IoStackLocation {
    pub major_function: u8,
    pub minor_function: u8,
    pub flags: u8,
    pub control: u8,
    pub parameters: [usize; 4],
    pub device_object: *mut DeviceObject,
    pub file_object: *mut FileObject,
    pub completion_routine: usize,
    pub context: usize,
}

/// MDL, without the page numbers behind it.
#[repr(C)]
pub struct Mdl {
    pub next: *mut Mdl,
    pub size: i16,
    pub flags: i16,
    pub process: usize,
    pub mapped_system_va: usize,
    pub start_va: usize,
    pub byte_count: u32,
    pub byte_offset: u32,
}

/// Bits of [`IoStackLocation::control`].
pub mod control {
    pub const PENDING_RETURNED: u8 = 0x01;
    pub const INVOKE_ON_CANCEL: u8 = 0x20;
    pub const INVOKE_ON_SUCCESS: u8 = 0x40;
    pub const INVOKE_ON_ERROR: u8 = 0x80;
}

/// Major functions.
pub mod major {
    pub const CREATE: u8 = 0;
    pub const CLOSE: u8 = 2;
    pub const READ: u8 = 3;
    pub const WRITE: u8 = 4;
    pub const DEVICE_CONTROL: u8 = 14;
    pub const CLEANUP: u8 = 18;
    pub const POWER: u8 = 22;
    pub const SYSTEM_CONTROL: u8 = 23;
    pub const PNP: u8 = 27;
}

/// Minor functions of plug-and-play and power requests.
pub mod minor {
    pub const START_DEVICE: u8 = 0;
    pub const QUERY_REMOVE_DEVICE: u8 = 1;
    pub const REMOVE_DEVICE: u8 = 2;
    pub const CANCEL_REMOVE_DEVICE: u8 = 3;
    pub const STOP_DEVICE: u8 = 4;
    pub const QUERY_STOP_DEVICE: u8 = 5;
    pub const CANCEL_STOP_DEVICE: u8 = 6;
    pub const QUERY_INTERFACE: u8 = 8;
    pub const SURPRISE_REMOVAL: u8 = 0x17;
    pub const WAIT_WAKE: u8 = 0;
    pub const POWER_SEQUENCE: u8 = 1;
    pub const SET_POWER: u8 = 2;
    pub const QUERY_POWER: u8 = 3;
}

/// Bits of [`DeviceObject::flags`].
pub mod device_flags {
    pub const INITIALIZING: u32 = 0x80;
}

/// Bits of [`FileObject::flags`].
pub mod file_flags {
    pub const SYNCHRONOUS_IO: u32 = 0x2;
}

/// How the buffers of a device control come: the low bits of its code.
pub mod method {
    pub const BUFFERED: u32 = 0;
    pub const IN_DIRECT: u32 = 1;
    pub const OUT_DIRECT: u32 = 2;
    pub const NEITHER: u32 = 3;
}

const _: () = {
    assert!(size_of::<DriverObject>() == 336);
    assert!(offset_of!(DriverObject, driver_extension) == 48);
    assert!(offset_of!(DriverObject, driver_unload) == 104);
    assert!(offset_of!(DriverObject, major_function) == 112);
    assert!(size_of::<DeviceObject>() == 336);
    assert!(offset_of!(DeviceObject, flags) == 48);
    assert!(offset_of!(DeviceObject, device_extension) == 64);
    assert!(offset_of!(DeviceObject, stack_size) == 76);
    assert!(size_of::<FileObject>() == 216);
    assert!(offset_of!(FileObject, fs_context) == 24);
    assert!(offset_of!(FileObject, flags) == 80);
    assert!(offset_of!(FileObject, file_name) == 88);
    assert!(size_of::<Irp>() == 208);
    assert!(offset_of!(Irp, system_buffer) == 24);
    assert!(offset_of!(Irp, io_status) == 48);
    assert!(offset_of!(Irp, requestor_mode) == 64);
    assert!(offset_of!(Irp, cancel) == 68);
    assert!(offset_of!(Irp, cancel_routine) == 104);
    assert!(offset_of!(Irp, user_buffer) == 112);
    assert!(offset_of!(Irp, driver_context) == 120);
    assert!(offset_of!(Irp, list_entry) == 168);
    assert!(offset_of!(Irp, current_stack_location) == 184);
    assert!(size_of::<IoStackLocation>() == 72);
    assert!(offset_of!(IoStackLocation, device_object) == 40);
    assert!(offset_of!(IoStackLocation, file_object) == 48);
    assert!(offset_of!(IoStackLocation, completion_routine) == 56);
    assert!(size_of::<Kdpc>() == 64);
    assert!(offset_of!(Kdpc, routine) == 24);
    assert!(size_of::<Ktimer>() == 64);
    assert!(offset_of!(Ktimer, dpc) == 48);
    assert!(offset_of!(Ktimer, period) == 60);
    assert!(size_of::<Mdl>() == 48);
    assert!(offset_of!(Mdl, mapped_system_va) == 24);
};
