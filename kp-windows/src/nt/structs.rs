//! The kernel's structs, as far as the port looks into them; what it does not look into is an array of that size. Sizes and offsets
//! are held in `layouts`.
use super::NtStatus;
use core::ffi::c_void;

/// A driver's dispatch function.
pub(crate) type Dispatch = unsafe extern "efiapi" fn(*mut DeviceObject, *mut Irp) -> NtStatus;
/// A driver's unload function.
pub(crate) type Unload = unsafe extern "efiapi" fn(*mut DriverObject);

/// UNICODE_STRING. Lengths in bytes, without the zero at the end.
#[repr(C)]
pub(crate) struct UnicodeString {
    pub(crate) length: u16,
    pub(crate) maximum_length: u16,
    pub(crate) buffer: *const u16,
}

/// KEVENT.
#[repr(C)]
pub(crate) struct Event {
    _header: [usize; 3],
}

impl Event {
    /// Before KeInitializeEvent.
    pub(crate) const UNUSED: Self = Self { _header: [0; 3] };
}

/// KSPIN_LOCK.
pub(crate) type SpinLock = usize;

/// DRIVER_OBJECT.
#[repr(C)]
pub(crate) struct DriverObject {
    _type_size: [u16; 2],
    pub(crate) device_object: *mut DeviceObject,
    _flags: u32,
    _start: [usize; 10],
    pub(crate) driver_unload: Option<Unload>,
    pub(crate) major_function: [Option<Dispatch>; 28],
}

/// DEVICE_OBJECT.
#[repr(C, align(16))]
pub(crate) struct DeviceObject {
    _type_size: [u16; 2],
    _reference_count: i32,
    _links: [usize; 5],
    pub(crate) flags: u32,
    _characteristics: u32,
    _vpb: usize,
    pub(crate) device_extension: *mut c_void,
    _rest: [usize; 33],
}

/// FILE_OBJECT, its beginning.
#[repr(C)]
pub(crate) struct FileObject {
    _type_size: [u16; 2],
    _device: [usize; 2],
    pub(crate) fs_context: *mut c_void,
    _fs_context2: usize,
    _section: [usize; 2],
    _final_status: i32,
    pub(crate) related_file_object: *mut FileObject,
    _access: [u8; 8],
    _flags: u32,
    pub(crate) file_name: UnicodeString,
}

/// IO_STATUS_BLOCK.
#[repr(C)]
pub(crate) struct IoStatusBlock {
    pub(crate) status: NtStatus,
    pub(crate) information: usize,
}

/// IRP.
#[repr(C)]
pub(crate) struct Irp {
    _type_size: [u16; 2],
    _mdl: usize,
    _flags: u32,
    pub(crate) system_buffer: *mut c_void,
    _thread_list: [usize; 2],
    pub(crate) io_status: IoStatusBlock,
    pub(crate) requestor_mode: i8,
    _state: [u8; 7],
    _user_status: [usize; 4],
    _cancel_routine: usize,
    pub(crate) user_buffer: *mut c_void,
    _driver_context: [usize; 8],
    pub(crate) current_stack_location: *mut IoStackLocation,
    _original_file: [usize; 2],
}

/// IO_STACK_LOCATION, with the parameters of a device control. On 64-bit Windows each of them stands at a multiple of 8.
#[repr(C)]
pub(crate) struct IoStackLocation {
    _major_minor: [u8; 4],
    _pad: u32,
    pub(crate) output_buffer_length: u32,
    _pad0: u32,
    pub(crate) input_buffer_length: u32,
    _pad1: u32,
    pub(crate) io_control_code: u32,
    _pad2: u32,
    pub(crate) type3_input_buffer: *mut c_void,
    _device_object: usize,
    pub(crate) file_object: *mut FileObject,
    _completion: [usize; 2],
}
