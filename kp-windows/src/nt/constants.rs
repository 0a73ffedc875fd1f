//! Numbers of the kernel's interface: function codes, flags, kinds. Named as their Windows names are, without what Rust's paths say.

/// Major function numbers, places in [`DriverObject::major_function`](super::structs::DriverObject::major_function).
pub(crate) mod major {
    pub(crate) const CREATE: usize = 0;
    pub(crate) const CLOSE: usize = 2;
    pub(crate) const DEVICE_CONTROL: usize = 14;
    pub(crate) const CLEANUP: usize = 18;
    pub(crate) const POWER: usize = 22;
    pub(crate) const SYSTEM_CONTROL: usize = 23;
    pub(crate) const PNP: usize = 27;
}

/// Minor function numbers of plug and play.
pub(crate) mod pnp {
    pub(crate) const START_DEVICE: u8 = 0x00;
    pub(crate) const QUERY_REMOVE_DEVICE: u8 = 0x01;
    pub(crate) const REMOVE_DEVICE: u8 = 0x02;
    pub(crate) const CANCEL_REMOVE_DEVICE: u8 = 0x03;
    pub(crate) const STOP_DEVICE: u8 = 0x04;
    pub(crate) const QUERY_STOP_DEVICE: u8 = 0x05;
    pub(crate) const CANCEL_STOP_DEVICE: u8 = 0x06;
    pub(crate) const QUERY_INTERFACE: u8 = 0x08;
    pub(crate) const SURPRISE_REMOVAL: u8 = 0x17;
}

/// Minor function numbers of power, and the values in its requests.
pub(crate) mod power {
    pub(crate) const SET_POWER: u8 = 2;
    /// [`PowerParameters::kind`](super::super::structs::PowerParameters): the state is the system's, POWER_STATE_TYPE.
    pub(crate) const SYSTEM: i32 = 0;
    /// As above: the state is the device's.
    pub(crate) const DEVICE: i32 = 1;
    /// PowerSystemWorking.
    pub(crate) const WORKING: i32 = 1;
    /// The minor function that asks whether a change is possible.
    pub(crate) const QUERY_POWER: u8 = 3;
    /// PowerDeviceD0.
    pub(crate) const D0: i32 = 1;
    /// PowerDeviceD3.
    pub(crate) const D3: i32 = 4;
}

/// Bits of [`IoStackLocation::control`](super::structs::IoStackLocation::control).
pub(crate) mod control {
    /// SL_PENDING_RETURNED.
    pub(crate) const PENDING: u8 = 1;
    /// SL_INVOKE_ON_CANCEL, _SUCCESS, _ERROR.
    pub(crate) const INVOKE_ALWAYS: u8 = 0xE0;
}

/// Bits of [`DeviceObject::flags`](super::structs::DeviceObject::flags).
pub(crate) mod device_flag {
    /// DO_DEVICE_INITIALIZING: nobody may open it yet.
    pub(crate) const INITIALIZING: u32 = 0x80;
    /// DO_POWER_PAGABLE: power requests come at Passive.
    pub(crate) const POWER_PAGABLE: u32 = 0x2000;
}

/// Bit of [`FileObject::flags`](super::structs::FileObject::flags), FO_SYNCHRONOUS_IO: the kernel passes one request of it at a time.
pub(crate) const FILE_SYNCHRONOUS: u32 = 2;

/// Numbers of device properties.
pub(crate) mod property {
    pub(crate) const PHYSICAL_DEVICE_OBJECT_NAME: i32 = 11;
    pub(crate) const BUS_NUMBER: i32 = 14;
    pub(crate) const ADDRESS: i32 = 16;
    /// A value of [`ADDRESS`]: the bus has said none.
    pub(crate) const NO_ADDRESS: u32 = u32::MAX;
}

/// Kinds of [`PartialDescriptor`](super::structs_resource::PartialDescriptor), and bits of its flags.
pub(crate) mod resource {
    pub(crate) const PORT: u8 = 1;
    pub(crate) const INTERRUPT: u8 = 2;
    pub(crate) const MEMORY: u8 = 3;
    pub(crate) const MEMORY_LARGE: u8 = 7;
    /// Of an interrupt: it is a message.
    pub(crate) const MESSAGE: u16 = 2;
    /// Of large memory: by how many bits its length is shifted.
    pub(crate) const LARGE: [(u16, u32); 3] = [(0x200, 8), (0x400, 16), (0x800, 32)];
}

/// Values in [`RegistryQuery`](super::structs::RegistryQuery).
pub(crate) mod registry {
    /// RTL_REGISTRY_ABSOLUTE: the path is a whole one.
    pub(crate) const ABSOLUTE: u32 = 0;
    /// RTL_QUERY_REGISTRY_DIRECT, _TYPECHECK and _NOEXPAND: the value is stored, if it is of the type that is expected.
    pub(crate) const DIRECT_CHECKED: u32 = 0x20 | 0x100 | 0x10;
    /// REG_DWORD, where the expected type stands; without a default.
    pub(crate) const EXPECTS_DWORD: u32 = 4 << 24;
}

/// Versions of [`ConnectInterrupt`](super::structs_device::ConnectInterrupt).
pub(crate) mod connect {
    pub(crate) const LINE_BASED: u32 = 2;
    pub(crate) const MESSAGE_BASED: u32 = 3;
}

/// DelayedWorkQueue.
pub(crate) const DELAYED_WORK_QUEUE: i32 = 1;
/// PCI_WHICHSPACE_CONFIG.
pub(crate) const CONFIG_SPACE: u32 = 0;
/// MmNonCached.
pub(crate) const NON_CACHED: i32 = 0;
/// MmWriteCombined.
pub(crate) const WRITE_COMBINED: i32 = 2;
/// PAGE_READWRITE and PAGE_NOCACHE.
pub(crate) const PAGE_READWRITE_NOCACHE: u32 = 0x204;
/// PAGE_READWRITE and PAGE_WRITECOMBINE.
pub(crate) const PAGE_READWRITE_WRITECOMBINE: u32 = 0x404;

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
    /// Stays set.
    pub(crate) const NOTIFICATION: i32 = 0;
    /// Lets one waiter through, and is clear again.
    pub(crate) const SYNCHRONIZATION: i32 = 1;
}

/// The highest level at which most kernel functions may be called.
pub(crate) const DISPATCH_LEVEL: u8 = 2;
