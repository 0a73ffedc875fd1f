//! The kernel's structs of devices: the bus's interface, interrupts. Sizes and offsets are held in `layouts`.
use super::{
    status::NtStatus,
    structs::{DeviceObject, Guid, SpinLock},
};
use core::ffi::c_void;

/// An interrupt handler: the interrupt object, and the context. Not 0: it was this device's.
pub(crate) type Service = unsafe extern "efiapi" fn(*mut c_void, *mut c_void) -> u8;
/// A handler of messages: the interrupt object, the context, and the message's number.
pub(crate) type MessageService = unsafe extern "efiapi" fn(*mut c_void, *mut c_void, u32) -> u8;
/// GetBusData and SetBusData: context, space, buffer, offset, length; how many bytes were moved. Up to DISPATCH_LEVEL.
pub(crate) type BusData = unsafe extern "efiapi" fn(*mut c_void, u32, *mut c_void, u32, u32) -> u32;
/// InterfaceReference and InterfaceDereference.
pub(crate) type InterfaceCount = unsafe extern "efiapi" fn(*mut c_void);

/// GUID of an interface: GUID_BUS_INTERFACE_STANDARD.
pub(crate) static BUS_INTERFACE: Guid =
    Guid { a: 0x496B_8280, b: 0x6F25, c: 0x11D0, d: [0xBE, 0xAF, 0x08, 0x00, 0x2B, 0xE2, 0x09, 0x2F] };

/// BUS_INTERFACE_STANDARD.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct BusInterface {
    pub(crate) size: u16,
    pub(crate) version: u16,
    pub(crate) context: *mut c_void,
    pub(crate) reference: Option<InterfaceCount>,
    pub(crate) dereference: Option<InterfaceCount>,
    _translate: usize,
    _dma_adapter: usize,
    pub(crate) set_bus_data: Option<BusData>,
    pub(crate) get_bus_data: Option<BusData>,
}

impl BusInterface {
    /// Before it was asked for.
    pub(crate) const UNUSED: Self = Self {
        size: 0,
        version: 0,
        context: core::ptr::null_mut(),
        reference: None,
        dereference: None,
        _translate: 0,
        _dma_adapter: 0,
        set_bus_data: None,
        get_bus_data: None,
    };
}

/// MaskTableEntry and UnmaskTableEntry: context, the entry's index. Up to DIRQL.
pub(crate) type MaskEntry = unsafe extern "efiapi" fn(*mut c_void, u32) -> NtStatus;

/// SetTableEntry: context, the entry's index, the message's. Up to DIRQL.
pub(crate) type SetEntry = unsafe extern "efiapi" fn(*mut c_void, u32, u32) -> NtStatus;

/// GUID of an interface: GUID_MSIX_TABLE_CONFIG_INTERFACE.
pub(crate) static MSIX_TABLE_INTERFACE: Guid =
    Guid { a: 0x1A6A_460B, b: 0x194F, c: 0x455D, d: [0xB3, 0x4B, 0xB8, 0x4C, 0x5B, 0x05, 0x71, 0x2B] };

/// PCI_MSIX_TABLE_CONFIG_INTERFACE.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct MsixTableInterface {
    pub(crate) size: u16,
    pub(crate) version: u16,
    pub(crate) context: *mut c_void,
    pub(crate) reference: Option<InterfaceCount>,
    pub(crate) dereference: Option<InterfaceCount>,
    pub(crate) set_entry: Option<SetEntry>,
    pub(crate) mask_entry: Option<MaskEntry>,
    pub(crate) unmask_entry: Option<MaskEntry>,
    _reserved: [usize; 2],
}

impl MsixTableInterface {
    /// Before it was asked for.
    pub(crate) const UNUSED: Self = Self {
        size: 0,
        version: 0,
        context: core::ptr::null_mut(),
        reference: None,
        dereference: None,
        set_entry: None,
        mask_entry: None,
        unmask_entry: None,
        _reserved: [0; 2],
    };
}

/// IO_CONNECT_INTERRUPT_PARAMETERS of lines and of messages, whose parameters have the same places. `connection` is where the interrupt
/// object goes, or the table of messages.
#[repr(C)]
pub(crate) struct ConnectInterrupt {
    pub(crate) version: u32,
    pub(crate) _pad0: u32,
    pub(crate) physical_device_object: *mut DeviceObject,
    pub(crate) connection: *mut *mut c_void,
    pub(crate) service_routine: *const c_void,
    pub(crate) service_context: *mut c_void,
    pub(crate) spin_lock: *mut SpinLock,
    pub(crate) synchronize_irql: u8,
    pub(crate) floating_save: u8,
    pub(crate) _pad1: [u8; 6],
    pub(crate) fallback_service_routine: *const c_void,
    pub(crate) _pad2: [usize; 2],
}

/// IO_DISCONNECT_INTERRUPT_PARAMETERS.
#[repr(C)]
pub(crate) struct DisconnectInterrupt {
    pub(crate) version: u32,
    pub(crate) _pad: u32,
    pub(crate) connection: *mut c_void,
}

/// IO_INTERRUPT_MESSAGE_INFO, its beginning.
#[repr(C)]
pub(crate) struct MessageInfo {
    pub(crate) unified_irql: u8,
}
