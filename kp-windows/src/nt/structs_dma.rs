//! The kernel's structs of a device's own transfers. Sizes and offsets are held in `layouts`; what the headers there are
//! too old for is held here.
//!
//! Source: Microsoft's pages DEVICE_DESCRIPTION and DMA_OPERATIONS, for the order of the fields; the crate windows-sys says the same.
use super::{
    status::NtStatus,
    structs::{DeviceObject, Mdl},
};
use core::{ffi::c_void, mem::offset_of};

/// DEVICE_DESCRIPTION of version 3; version 2 is its beginning.
#[repr(C)]
pub(crate) struct DeviceDescription {
    pub(crate) version: u32,
    pub(crate) master: u8,
    pub(crate) scatter_gather: u8,
    pub(crate) _demand_mode: u8,
    pub(crate) _auto_initialize: u8,
    pub(crate) dma32_bit_addresses: u8,
    pub(crate) _ignore_count: u8,
    pub(crate) _reserved: u8,
    pub(crate) dma64_bit_addresses: u8,
    pub(crate) _bus_number: u32,
    pub(crate) _dma_channel: u32,
    pub(crate) interface_type: i32,
    pub(crate) _dma_width: i32,
    pub(crate) _dma_speed: i32,
    pub(crate) maximum_length: u32,
    pub(crate) _dma_port: u32,
    pub(crate) dma_address_width: u32,
    pub(crate) _controller_instance: u32,
    pub(crate) _request_line: u32,
    pub(crate) _device_address: u64,
}
const _: () = assert!(offset_of!(DeviceDescription, dma_address_width) == 40 && size_of::<DeviceDescription>() == 64);

/// DMA_ADAPTER.
#[repr(C)]
pub(crate) struct DmaAdapter {
    _version: u16,
    _size: u16,
    pub(crate) operations: *const DmaOperations,
}

/// SCATTER_GATHER_LIST. Its elements stand behind it.
#[repr(C)]
pub(crate) struct ScatterGatherList {
    pub(crate) number_of_elements: u32,
    _reserved: usize,
    pub(crate) elements: [ScatterGatherElement; 0],
}

/// SCATTER_GATHER_ELEMENT.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ScatterGatherElement {
    pub(crate) address: u64,
    pub(crate) length: u32,
    _reserved: usize,
}

/// DRIVER_LIST_CONTROL: what is called with a list: device, request, list, context. At DISPATCH_LEVEL.
pub(crate) type ListControl =
    unsafe extern "efiapi" fn(*mut DeviceObject, *mut c_void, *mut ScatterGatherList, *mut c_void);

/// DMA_TRANSFER_CONTEXT of version 1, which is opaque.
#[repr(C, align(16))]
pub(crate) struct TransferContext([u8; 128]);

impl TransferContext {
    /// Before InitializeDmaTransferContext.
    pub(crate) const UNUSED: Self = Self([0; 128]);
}

/// DMA_OPERATIONS of version 2, as far as the port calls it; `size` says where a table ends.
#[repr(C)]
pub(crate) struct DmaOperations {
    pub(crate) size: u32,
    /// Up to DISPATCH_LEVEL.
    pub(crate) put_adapter: unsafe extern "efiapi" fn(*mut DmaAdapter),
    /// Adapter, length, bus address, cached. Passive.
    pub(crate) allocate_common_buffer: unsafe extern "efiapi" fn(*mut DmaAdapter, u32, *mut u64, u8) -> *mut c_void,
    /// Adapter, length, bus address, address, cached. Passive.
    pub(crate) free_common_buffer: unsafe extern "efiapi" fn(*mut DmaAdapter, u32, u64, *mut c_void, u8),
    _channels: [usize; 7],
    /// Adapter, device, list of pages, address in it, length, what is called, its context, to the device. At DISPATCH_LEVEL.
    pub(crate) get_list: unsafe extern "efiapi" fn(
        *mut DmaAdapter,
        *mut DeviceObject,
        *mut Mdl,
        *mut c_void,
        u32,
        ListControl,
        *mut c_void,
        u8,
    ) -> NtStatus,
    /// Adapter, list, to the device. At DISPATCH_LEVEL.
    pub(crate) put_list: unsafe extern "efiapi" fn(*mut DmaAdapter, *mut ScatterGatherList, u8),
    _own_buffers: [usize; 3],
}

/// DMA_OPERATIONS of version 3, as far as the port calls it.
#[repr(C)]
pub(crate) struct DmaOperations3 {
    _version2: DmaOperations,
    _infos: [usize; 2],
    /// Adapter, context. Up to DISPATCH_LEVEL.
    pub(crate) initialize_transfer_context:
        unsafe extern "efiapi" fn(*mut DmaAdapter, *mut TransferContext) -> NtStatus,
    /// Adapter, highest bus address, length, bus address, cached, node. Passive.
    pub(crate) allocate_common_buffer_ex:
        unsafe extern "efiapi" fn(*mut DmaAdapter, *const u64, u32, *mut u64, u8, u32) -> *mut c_void,
    _channels_ex: [usize; 4],
    /// Adapter, device, transfer context, list of pages, offset, length, flags, what is called, its context, to the device, two that are not
    /// used, the list. Up to DISPATCH_LEVEL.
    pub(crate) get_list_ex: unsafe extern "efiapi" fn(
        *mut DmaAdapter,
        *mut DeviceObject,
        *mut TransferContext,
        *mut Mdl,
        u64,
        u32,
        u32,
        Option<ListControl>,
        *mut c_void,
        u8,
        *mut c_void,
        *mut c_void,
        *mut *mut ScatterGatherList,
    ) -> NtStatus,
}

const _: () = assert!(
    size_of::<DmaOperations>() == 128
        && offset_of!(DmaOperations3, initialize_transfer_context) == 144
        && offset_of!(DmaOperations3, allocate_common_buffer_ex) == 152
        && offset_of!(DmaOperations3, get_list_ex) == 192
);

/// DMA_SYNCHRONOUS_CALLBACK: the list is there when the function returns, or the function fails.
pub(crate) const DMA_SYNCHRONOUS_CALLBACK: u32 = 1;
/// PCIBus.
pub(crate) const PCI_BUS: i32 = 5;
/// MmCached.
pub(crate) const CACHED: i32 = 1;
/// MM_ALLOCATE_FULLY_REQUIRED: all pages, or none.
pub(crate) const ALLOCATE_FULLY: u32 = 4;
/// NormalPagePriority, and MdlMappingNoExecute.
pub(crate) const NORMAL_PRIORITY_NOT_EXECUTABLE: u32 = 16 | 0x4000_0000;
