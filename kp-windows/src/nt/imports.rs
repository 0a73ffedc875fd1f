//! What the kernel exports.
use super::{
    status::NtStatus,
    structs::{
        DeviceObject, Dpc, DpcRoutine, DriverObject, Event, Guid, IoStatusBlock, Irp, Mdl, PowerDone, RegistryQuery,
        RemoveLock, SpinLock, Timer, UnicodeString, WorkRoutine, WorkRoutineEx,
    },
    structs_dma::{DeviceDescription, DmaAdapter},
};
use core::ffi::c_void;

/// Declares imports: by name out of ntoskrnl.exe on Windows; elsewhere, for tests, as functions of the same calling convention.
macro_rules! imports {
    ($($body:tt)*) => {
        #[cfg(windows)]
        #[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
        unsafe extern "system" { $($body)* }
        #[cfg(not(windows))]
        unsafe extern "efiapi" { $($body)* }
    };
}

imports! {
    pub(crate) fn IoCreateDevice(driver: *mut DriverObject, extension: u32, name: *const UnicodeString, kind: u32, characteristics: u32, exclusive: u8, device: *mut *mut DeviceObject) -> NtStatus;
    pub(crate) fn IoDeleteDevice(device: *mut DeviceObject);
    pub(crate) fn IoCreateSymbolicLink(link: *const UnicodeString, name: *const UnicodeString) -> NtStatus;
    pub(crate) fn IoDeleteSymbolicLink(link: *const UnicodeString) -> NtStatus;
    pub(crate) fn IoAttachDeviceToDeviceStack(device: *mut DeviceObject, target: *mut DeviceObject) -> *mut DeviceObject;
    pub(crate) fn IoDetachDevice(lower: *mut DeviceObject);
    pub(crate) fn IoRegisterDeviceInterface(physical: *mut DeviceObject, class: *const Guid, reference: *const UnicodeString, link: *mut UnicodeString) -> NtStatus;
    pub(crate) fn IoSetDeviceInterfaceState(link: *const UnicodeString, enable: u8) -> NtStatus;
    pub(crate) fn RtlFreeUnicodeString(text: *mut UnicodeString);
    pub(crate) fn RtlQueryRegistryValues(relative_to: u32, path: *const u16, table: *mut RegistryQuery, context: *mut c_void, environment: *mut c_void) -> NtStatus;
    pub(crate) fn IoGetDeviceProperty(physical: *mut DeviceObject, property: i32, len: u32, buffer: *mut c_void, needed: *mut u32) -> NtStatus;
    pub(crate) fn IoInitializeRemoveLockEx(lock: *mut RemoveLock, tag: u32, max_minutes: u32, high_watermark: u32, size: u32);
    pub(crate) fn IoAcquireRemoveLockEx(lock: *mut RemoveLock, tag: *mut c_void, file: *const u8, line: u32, size: u32) -> NtStatus;
    pub(crate) fn IoReleaseRemoveLockEx(lock: *mut RemoveLock, tag: *mut c_void, size: u32);
    pub(crate) fn IoReleaseRemoveLockAndWaitEx(lock: *mut RemoveLock, tag: *mut c_void, size: u32);
    pub(crate) fn IoBuildSynchronousFsdRequest(major: u32, device: *mut DeviceObject, buffer: *mut c_void, len: u32, offset: *const i64, event: *mut Event, status: *mut IoStatusBlock) -> *mut Irp;
    pub(crate) fn IofCallDriver(device: *mut DeviceObject, irp: *mut Irp) -> NtStatus;
    pub(crate) fn IofCompleteRequest(irp: *mut Irp, boost: i8);
    pub(crate) fn IoReleaseCancelSpinLock(irql: u8);
    pub(crate) fn IoAllocateWorkItem(device: *mut DeviceObject) -> *mut c_void;
    pub(crate) fn IoQueueWorkItem(item: *mut c_void, routine: WorkRoutine, queue: i32, context: *mut c_void);
    pub(crate) fn IoQueueWorkItemEx(item: *mut c_void, routine: WorkRoutineEx, queue: i32, context: *mut c_void);
    pub(crate) fn IoFreeWorkItem(item: *mut c_void);
    pub(crate) fn PoRequestPowerIrp(physical: *mut DeviceObject, minor: u8, state: i32, done: Option<PowerDone>, context: *mut c_void, irp: *mut *mut Irp) -> NtStatus;
    pub(crate) fn PoSetPowerState(device: *mut DeviceObject, kind: i32, state: i32) -> i32;
    pub(crate) fn IoIs32bitProcess(irp: *mut Irp) -> u8;
    pub(crate) fn IoGetRequestorProcess(irp: *mut Irp) -> *mut c_void;
    pub(crate) safe fn IoGetCurrentProcess() -> *mut c_void;
    pub(crate) fn ObOpenObjectByPointer(object: *mut c_void, attributes: u32, access_state: *mut c_void, access: u32, kind: *mut c_void, mode: i8, handle: *mut *mut c_void) -> NtStatus;
    pub(crate) fn ZwSetSecurityObject(handle: *mut c_void, what: u32, descriptor: *const c_void) -> NtStatus;
    pub(crate) fn ZwClose(handle: *mut c_void) -> NtStatus;
    pub(crate) fn SeTokenIsAdmin(token: *mut c_void) -> u8;
    pub(crate) safe fn SeSinglePrivilegeCheck(privilege: u64, mode: i8) -> u8;
    pub(crate) safe fn PsGetCurrentProcessId() -> usize;
    pub(crate) safe fn PsGetCurrentThread() -> *mut c_void;
    pub(crate) safe fn PsGetCurrentThreadId() -> usize;
    pub(crate) fn MmGetSystemRoutineAddress(name: *const UnicodeString) -> *mut c_void;
    pub(crate) fn MmMapIoSpace(physical: u64, len: usize, cache: i32) -> *mut c_void;
    pub(crate) fn MmUnmapIoSpace(address: *mut c_void, len: usize);
    pub(crate) safe fn MmAllocatePagesForMdlEx(lowest: u64, highest: u64, skip: u64, len: usize, cache: i32, flags: u32) -> *mut Mdl;
    pub(crate) fn MmFreePagesFromMdl(mdl: *mut Mdl);
    pub(crate) fn MmMapLockedPagesSpecifyCache(mdl: *mut Mdl, mode: i8, cache: i32, wanted: *mut c_void, bug_check: u32, priority: u32) -> *mut c_void;
    pub(crate) fn MmUnmapLockedPages(address: *mut c_void, mdl: *mut Mdl);
    pub(crate) fn IoGetDmaAdapter(physical: *mut DeviceObject, description: *const DeviceDescription, map_registers: *mut u32) -> *mut DmaAdapter;
    pub(crate) safe fn ExAllocatePoolWithTag(kind: i32, size: usize, tag: u32) -> *mut c_void;
    pub(crate) fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);
    pub(crate) fn ExFreePool(memory: *mut c_void);
    pub(crate) fn KeInitializeEvent(event: *mut Event, kind: i32, state: u8);
    pub(crate) fn KeSetEvent(event: *mut Event, increment: i32, wait: u8) -> i32;
    pub(crate) fn KeWaitForSingleObject(object: *mut c_void, reason: i32, mode: i8, alertable: u8, timeout: *const i64) -> NtStatus;
    pub(crate) fn KeDelayExecutionThread(mode: i8, alertable: u8, interval: *const i64) -> NtStatus;
    pub(crate) fn KeInitializeDpc(dpc: *mut Dpc, routine: DpcRoutine, context: *mut c_void);
    pub(crate) fn KeInsertQueueDpc(dpc: *mut Dpc, a: *mut c_void, b: *mut c_void) -> u8;
    pub(crate) safe fn KeFlushQueuedDpcs();
    pub(crate) fn KeInitializeTimer(timer: *mut Timer);
    pub(crate) fn KeSetTimer(timer: *mut Timer, due: i64, dpc: *mut Dpc) -> u8;
    pub(crate) fn KeCancelTimer(timer: *mut Timer) -> u8;
    pub(crate) safe fn KeEnterCriticalRegion();
    pub(crate) safe fn KeLeaveCriticalRegion();
    pub(crate) fn KeAcquireSpinLockRaiseToDpc(lock: *mut SpinLock) -> u8;
    pub(crate) fn KeReleaseSpinLock(lock: *mut SpinLock, irql: u8);
    pub(crate) fn KeAcquireSpinLockAtDpcLevel(lock: *mut SpinLock);
    pub(crate) fn KeReleaseSpinLockFromDpcLevel(lock: *mut SpinLock);
    pub(crate) safe fn KeBugCheckEx(code: u32, a: usize, b: usize, c: usize, d: usize) -> !;
    /// Only called through the guarded call: it raises an exception for a range that is not the app's.
    pub(crate) fn ProbeForRead(address: *const c_void, len: usize, align: u32);
    /// Really variadic. Declared with the arguments of `%.*s: %.*s`, which are passed in the same places.
    pub(crate) fn DbgPrintEx(component: u32, level: u32, format: *const u8, name_len: usize, name: *const u8, len: usize, text: *const u8) -> u32;
}
