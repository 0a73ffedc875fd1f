//! The kernel's structs, as far as the port looks into them; what it does not look into is an array of that size. Here: drivers,
//! devices, requests, and what waits and runs later. Sizes and offsets are held in `layouts`.
use super::{status::NtStatus, structs_resource::ResourceList};
use core::ffi::c_void;

/// A driver's dispatch function.
pub(crate) type Dispatch = unsafe extern "efiapi" fn(*mut DeviceObject, *mut Irp) -> NtStatus;
/// A driver's unload function.
pub(crate) type Unload = unsafe extern "efiapi" fn(*mut DriverObject);
/// A driver's function for a new device: the driver, and the bus's device object.
pub(crate) type AddDevice = unsafe extern "efiapi" fn(*mut DriverObject, *mut DeviceObject) -> NtStatus;
/// What runs when a request that was passed on is completed.
pub(crate) type Completion = unsafe extern "efiapi" fn(*mut DeviceObject, *mut Irp, *mut c_void) -> NtStatus;
/// What runs when a request is cancelled, with the cancel spin lock held.
pub(crate) type Cancel = unsafe extern "efiapi" fn(*mut DeviceObject, *mut Irp);
/// A DPC's routine: itself, its context, and two arguments.
pub(crate) type DpcRoutine = unsafe extern "efiapi" fn(*mut Dpc, *mut c_void, *mut c_void, *mut c_void);
/// A work item's routine: its device, and its context.
pub(crate) type WorkRoutineEx = unsafe extern "efiapi" fn(*mut c_void, *mut c_void, *mut c_void);
pub(crate) type WorkRoutine = unsafe extern "efiapi" fn(*mut DeviceObject, *mut c_void);
/// What runs when a requested power change is done: device, minor function, state, context, status.
pub(crate) type PowerDone = unsafe extern "efiapi" fn(*mut DeviceObject, u8, i32, *mut c_void, *mut IoStatusBlock);

/// UNICODE_STRING. Lengths in bytes, without the zero at the end.
#[repr(C)]
pub(crate) struct UnicodeString {
    pub(crate) length: u16,
    pub(crate) maximum_length: u16,
    pub(crate) buffer: *const u16,
}

/// RTL_QUERY_REGISTRY_TABLE: one entry of such a table.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RegistryQuery {
    pub(crate) routine: usize,
    pub(crate) flags: u32,
    pub(crate) name: *const u16,
    pub(crate) entry_context: *mut c_void,
    pub(crate) default_type: u32,
    pub(crate) default_data: *const c_void,
    pub(crate) default_length: u32,
}

impl RegistryQuery {
    /// What ends a table.
    pub(crate) const END: Self = Self {
        routine: 0,
        flags: 0,
        name: core::ptr::null(),
        entry_context: core::ptr::null_mut(),
        default_type: 0,
        default_data: core::ptr::null(),
        default_length: 0,
    };
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

/// KDPC.
#[repr(C)]
pub(crate) struct Dpc {
    _all: [usize; 8],
}

impl Dpc {
    /// Before KeInitializeDpc.
    pub(crate) const UNUSED: Self = Self { _all: [0; 8] };
}

/// KTIMER.
#[repr(C)]
pub(crate) struct Timer {
    _all: [usize; 8],
}

impl Timer {
    /// Before KeInitializeTimer.
    pub(crate) const UNUSED: Self = Self { _all: [0; 8] };
}

/// KSPIN_LOCK.
pub(crate) type SpinLock = usize;

/// LIST_ENTRY.
#[repr(C)]
pub(crate) struct ListEntry {
    pub(crate) next: *mut ListEntry,
    pub(crate) previous: *mut ListEntry,
}

/// GUID.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Guid {
    pub(crate) a: u32,
    pub(crate) b: u16,
    pub(crate) c: u16,
    pub(crate) d: [u8; 8],
}

/// IO_REMOVE_LOCK of a kernel that checks nothing: what its functions are told the size of.
#[repr(C)]
pub(crate) struct RemoveLock {
    _removed: [u8; 4],
    _count: i32,
    _event: Event,
}

impl RemoveLock {
    /// Before IoInitializeRemoveLockEx.
    pub(crate) const UNUSED: Self = Self { _removed: [0; 4], _count: 0, _event: Event::UNUSED };
}

/// DRIVER_EXTENSION, its beginning.
#[repr(C)]
pub(crate) struct DriverExtension {
    _driver: usize,
    pub(crate) add_device: Option<AddDevice>,
}

/// DRIVER_OBJECT.
#[repr(C)]
pub(crate) struct DriverObject {
    _type_size: [u16; 2],
    pub(crate) device_object: *mut DeviceObject,
    _flags: u32,
    _start: [usize; 3],
    pub(crate) driver_extension: *mut DriverExtension,
    _name: [usize; 6],
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
    pub(crate) fs_context2: *mut c_void,
    _section: [usize; 2],
    _final_status: i32,
    pub(crate) related_file_object: *mut FileObject,
    _access: [u8; 8],
    pub(crate) flags: u32,
    pub(crate) file_name: UnicodeString,
}

/// IO_STATUS_BLOCK.
#[repr(C)]
pub(crate) struct IoStatusBlock {
    pub(crate) status: NtStatus,
    pub(crate) information: usize,
}

/// MDL. The numbers of its pages stand behind it.
#[repr(C)]
pub(crate) struct Mdl {
    _next: usize,
    _size: i16,
    pub(crate) flags: i16,
    _process: usize,
    pub(crate) mapped_system_va: *mut c_void,
    pub(crate) start_va: *mut c_void,
    pub(crate) byte_count: u32,
    pub(crate) byte_offset: u32,
}

/// Bits of [`Mdl::flags`]: MDL_MAPPED_TO_SYSTEM_VA and MDL_SOURCE_IS_NONPAGED_POOL, with either of which `mapped_system_va` is valid.
pub(crate) const MDL_HAS_SYSTEM_VA: i16 = 1 | 4;
/// The same: some of the pages are a device's memory.
pub(crate) const MDL_IO_SPACE: i16 = 0x0800;

/// IRP.
#[repr(C)]
pub(crate) struct Irp {
    _type_size: [u16; 2],
    pub(crate) mdl: *mut Mdl,
    _flags: u32,
    pub(crate) system_buffer: *mut c_void,
    _thread_list: [usize; 2],
    pub(crate) io_status: IoStatusBlock,
    pub(crate) requestor_mode: i8,
    pub(crate) pending_returned: u8,
    _stack_count: i8,
    pub(crate) current_location: i8,
    pub(crate) cancel: u8,
    pub(crate) cancel_irql: u8,
    _allocation: [u8; 2],
    _user_status: [usize; 4],
    pub(crate) cancel_routine: Option<Cancel>,
    pub(crate) user_buffer: *mut c_void,
    pub(crate) driver_context: [*mut c_void; 4],
    _thread: [usize; 2],
    pub(crate) list_entry: ListEntry,
    pub(crate) current_stack_location: *mut IoStackLocation,
    _original_file: [usize; 2],
}

/// IO_STACK_LOCATION.
#[repr(C)]
pub(crate) struct IoStackLocation {
    pub(crate) major_function: u8,
    pub(crate) minor_function: u8,
    _flags: u8,
    pub(crate) control: u8,
    pub(crate) parameters: Parameters,
    pub(crate) device_object: *mut DeviceObject,
    pub(crate) file_object: *mut FileObject,
    pub(crate) completion_routine: Option<Completion>,
    pub(crate) context: *mut c_void,
}

/// Parameters of a request, by its major and minor function. On 64-bit Windows each of them stands at a multiple of 8.
#[repr(C)]
pub(crate) union Parameters {
    pub(crate) create: CreateParameters,
    pub(crate) device_control: DeviceControlParameters,
    pub(crate) start_device: StartDeviceParameters,
    pub(crate) query_interface: QueryInterfaceParameters,
    pub(crate) power: PowerParameters,
    _others: [usize; 4],
}

/// Of a CREATE.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct CreateParameters {
    pub(crate) security_context: *const SecurityContext,
    _others: [usize; 3],
}

/// IO_SECURITY_CONTEXT.
#[repr(C)]
pub(crate) struct SecurityContext {
    _quality_of_service: usize,
    pub(crate) access_state: *const AccessState,
    _access: [u32; 2],
}

/// The beginning of ACCESS_STATE: who was let in.
#[repr(C)]
pub(crate) struct AccessState {
    _access: [u32; 8],
    /// Null: the thread impersonates nobody.
    pub(crate) client_token: *mut c_void,
    _impersonation_level: usize,
    pub(crate) primary_token: *mut c_void,
}

/// Of a device control.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct DeviceControlParameters {
    pub(crate) output_buffer_length: u32,
    _pad0: u32,
    pub(crate) input_buffer_length: u32,
    _pad1: u32,
    pub(crate) io_control_code: u32,
    _pad2: u32,
    pub(crate) type3_input_buffer: *mut c_void,
}

/// Of START_DEVICE: CM_RESOURCE_LIST, as the bus and as the processor sees what was assigned; null: nothing was.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct StartDeviceParameters {
    pub(crate) allocated_resources: *const ResourceList,
    pub(crate) allocated_resources_translated: *const ResourceList,
    pub(crate) _pad: [usize; 2],
}

/// Of QUERY_INTERFACE.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct QueryInterfaceParameters {
    pub(crate) interface_type: *const Guid,
    pub(crate) size: u16,
    pub(crate) version: u16,
    pub(crate) _pad: u32,
    pub(crate) interface: *mut c_void,
    pub(crate) interface_specific_data: *mut c_void,
}

/// Of SET_POWER and QUERY_POWER.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct PowerParameters {
    _system_context: u32,
    _pad0: u32,
    pub(crate) kind: i32,
    _pad1: u32,
    pub(crate) state: i32,
    _pad2: u32,
    _shutdown_type: i32,
    _pad3: u32,
}
