//! The lists in which the plug-and-play manager says what a device is assigned. Sizes and offsets are held in `layouts`.

/// CM_RESOURCE_LIST. A device on one bus has no second entry.
#[repr(C)]
pub(crate) struct ResourceList {
    pub(crate) count: u32,
    pub(crate) first: FullDescriptor,
}

/// CM_FULL_RESOURCE_DESCRIPTOR, up to its list.
#[repr(C)]
pub(crate) struct FullDescriptor {
    _interface_type: i32,
    _bus_number: u32,
    _version_revision: [u16; 2],
    pub(crate) partial_count: u32,
    pub(crate) partial: [PartialDescriptor; 0],
}

/// CM_PARTIAL_RESOURCE_DESCRIPTOR, which is packed to 4. Its union is four words; the methods say what stands where.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct PartialDescriptor {
    pub(crate) kind: u8,
    pub(crate) share_disposition: u8,
    pub(crate) flags: u16,
    pub(crate) u: [u32; 4],
}
