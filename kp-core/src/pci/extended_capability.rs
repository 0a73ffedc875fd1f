//! Ids of extended capabilities, for [`Config::extended_capability`](super::Config::extended_capability). PCI Code and ID Assignment
//! Specification 1.11, section 3.

/// Advanced Error Reporting.
pub const AER: u16 = 0x0001;
/// Virtual Channel.
pub const VIRTUAL_CHANNEL: u16 = 0x0002;
/// Device Serial Number: 64 bits, at 4 behind the header.
pub const SERIAL_NUMBER: u16 = 0x0003;
/// Power Budgeting.
pub const POWER_BUDGETING: u16 = 0x0004;
/// Vendor-Specific Extended Capability.
pub const VENDOR_SPECIFIC: u16 = 0x000B;
/// Access Control Services.
pub const ACS: u16 = 0x000D;
/// Alternative Routing-ID Interpretation.
pub const ARI: u16 = 0x000E;
/// Address Translation Services.
pub const ATS: u16 = 0x000F;
/// Single Root I/O Virtualization.
pub const SR_IOV: u16 = 0x0010;
/// Multicast.
pub const MULTICAST: u16 = 0x0012;
/// Page Request Interface.
pub const PAGE_REQUEST: u16 = 0x0013;
/// Resizable BAR.
pub const RESIZABLE_BAR: u16 = 0x0015;
/// Dynamic Power Allocation.
pub const DYNAMIC_POWER_ALLOCATION: u16 = 0x0016;
/// TPH Requester.
pub const TPH_REQUESTER: u16 = 0x0017;
/// Latency Tolerance Reporting.
pub const LTR: u16 = 0x0018;
/// Secondary PCI Express.
pub const SECONDARY_PCI_EXPRESS: u16 = 0x0019;
/// Process Address Space ID.
pub const PASID: u16 = 0x001B;
/// Downstream Port Containment.
pub const DPC: u16 = 0x001D;
/// L1 PM Substates.
pub const L1_PM_SUBSTATES: u16 = 0x001E;
/// Precision Time Measurement.
pub const PTM: u16 = 0x001F;
/// Designated Vendor-Specific Extended Capability.
pub const DESIGNATED_VENDOR_SPECIFIC: u16 = 0x0023;
/// Data Link Feature.
pub const DATA_LINK_FEATURE: u16 = 0x0025;
/// Physical Layer 16.0 GT/s.
pub const PHYSICAL_LAYER_16: u16 = 0x0026;
