//! A device's adapter and lists of pages, as a driver calls them.
use crate::card::BUS;
use std::{cell::Cell, ffi::c_void, ptr};
use windows_loader::{
    kernel_call,
    nt::{DeviceObject, Mdl, NtStatus, STATUS_SUCCESS},
};

/// An adapter, and the functions of its table.
pub struct Adapter {
    pub this: *mut c_void,
    pub table: Vec<usize>,
}

/// Calls a function of an adapter's table, by its place there.
macro_rules! operation {
    ($adapter:expr, $place:literal($($value:expr => $type:ty),* $(,)?) $(-> $answer:ty)?) => {{
        let function = ptr::with_exposed_provenance::<()>($adapter.table[$place]);
        // SAFETY: the function at this place has these types; what it is given is what is tested.
        let function: extern "efiapi" fn(*mut c_void, $($type),*) $(-> $answer)? = unsafe { std::mem::transmute(function) };
        function($adapter.this, $($value),*)
    }};
}
pub(crate) use operation;

/// DEVICE_DESCRIPTION of a bus master with 64 bits, of this version.
pub fn description(version: u32) -> [u32; 16] {
    let mut words = [0; 16];
    words[0] = version;
    words[1] = 0x0000_0101; // master, scatter/gather
    words[2] = 1 << 24; // 64 bits
    words[5] = 5; // PCI
    words[8] = 1 << 20; // the longest transfer
    words[10] = 64;
    words
}

pub fn get_adapter(description: &[u32; 16]) -> Adapter {
    let mut registers = 0;
    let this = kernel_call!("IoGetDmaAdapter"(BUS.get() => *mut DeviceObject, description => *const [u32; 16], &mut registers => *mut u32) -> *mut c_void);
    let this = this.cast::<usize>();
    // SAFETY: DMA_ADAPTER has its table behind its version and size; the table's first word has its size.
    let table = unsafe {
        let operations = ptr::with_exposed_provenance::<usize>(this.wrapping_add(1).read());
        (0..operations.read() / 8).map(|place| operations.wrapping_add(place).read()).collect()
    };
    Adapter { this: this.cast(), table }
}

/// One that is fit for all.
pub fn adapter() -> Adapter {
    get_adapter(&description(3))
}

/// SCATTER_GATHER_LIST.
type List = *mut u64;

thread_local! {
    /// What GetScatterGatherList has given.
    static LIST: Cell<List> = const { Cell::new(ptr::null_mut()) };
}

extern "efiapi" fn on_list(_: *mut DeviceObject, _: *mut c_void, list: List, _: *mut c_void) {
    LIST.set(list);
}

/// The elements of a list.
pub fn elements(list: List) -> Vec<(u64, usize)> {
    // SAFETY: a list of the kernel's: how many, a word of its own, and three words for each element.
    let word = |at: usize| unsafe { list.wrapping_add(at).read() };
    (0..word(0) as usize).map(|i| (word(2 + 3 * i), word(3 + 3 * i) as usize)).collect()
}

fn at_dispatch(f: impl FnOnce()) {
    let before = kernel_call!("KfRaiseIrql"(2 => u8) -> u8);
    f();
    kernel_call!("KeLowerIrql"(before => u8));
}

impl Adapter {
    /// A list for `len` bytes of these pages, from `offset` on.
    pub fn list(&self, mdl: *mut Mdl, offset: usize, len: usize, to_device: bool) -> List {
        if self.table.len() > 16 {
            let mut context = [0u64; 16];
            operation!(self, 18(context.as_mut_ptr() => *mut u64) -> NtStatus);
            let status = operation!(self, 24(ptr::null_mut() => *mut DeviceObject, context.as_ptr() => *const u64, mdl => *mut Mdl, offset as u64 => u64, len as u32 => u32, 1 => u32, on_list => extern "efiapi" fn(*mut DeviceObject, *mut c_void, List, *mut c_void), ptr::null_mut() => *mut c_void, to_device.into() => u8, 0 => usize, 0 => usize, ptr::null_mut() => *mut List) -> NtStatus);
            assert_eq!(status, STATUS_SUCCESS);
        } else {
            // SAFETY: a list of the kernel's.
            let at = unsafe { (*mdl).start_va + (*mdl).byte_offset as usize } + offset;
            at_dispatch(|| {
                let status = operation!(self, 11(ptr::null_mut() => *mut DeviceObject, mdl => *mut Mdl, at => usize, len as u32 => u32, on_list => extern "efiapi" fn(*mut DeviceObject, *mut c_void, List, *mut c_void), ptr::null_mut() => *mut c_void, to_device.into() => u8) -> NtStatus);
                assert_eq!(status, STATUS_SUCCESS);
            });
        }
        LIST.get()
    }

    pub fn put_list(&self, list: List, to_device: bool) {
        at_dispatch(|| operation!(self, 12(list => List, to_device.into() => u8)));
    }

    /// A common buffer: the device's address and the driver's.
    pub fn common(&self, len: usize) -> (u64, *mut u8) {
        let mut bus = 0;
        let memory = operation!(self, 2(len as u32 => u32, &mut bus => *mut u64, 1 => u8) -> *mut u8);
        assert!(!memory.is_null());
        (bus, memory)
    }

    pub fn free_common(&self, len: usize, (bus, memory): (u64, *mut u8)) {
        operation!(self, 3(len as u32 => u32, bus => u64, memory => *mut u8, 1 => u8));
    }

    pub fn put(&self) {
        operation!(self, 1());
    }
}

/// The kernel's own pages.
pub fn pages(len: usize) -> *mut Mdl {
    kernel_call!("MmAllocatePagesForMdlEx"(0 => u64, u64::MAX => u64, 0 => u64, len => usize, 1 => i32, 4 => u32) -> *mut Mdl)
}

pub fn map(mdl: *mut Mdl) -> *mut u8 {
    kernel_call!("MmMapLockedPagesSpecifyCache"(mdl => *mut Mdl, 0 => i8, 1 => i32, 0 => usize, 0 => u32, 16 => u32) -> *mut u8)
}

pub fn unmap(at: *mut u8, mdl: *mut Mdl) {
    kernel_call!("MmUnmapLockedPages"(at => *mut u8, mdl => *mut Mdl));
}

pub fn free_pages(mdl: *mut Mdl) {
    kernel_call!("MmFreePagesFromMdl"(mdl => *mut Mdl));
}

pub fn free(block: *mut c_void) {
    kernel_call!("ExFreePool"(block => *mut c_void));
}

/// A block that is no list of pages.
pub fn block() -> *mut Mdl {
    kernel_call!("ExAllocatePoolWithTag"(512 => i32, 128 => usize, 0x746e_6c50 => u32) -> *mut Mdl)
}

pub fn bytes(at: *mut u8, len: usize) -> &'static mut [u8] {
    // SAFETY: memory of the driver's, which is there as long as the deed uses this.
    unsafe { std::slice::from_raw_parts_mut(at, len) }
}
