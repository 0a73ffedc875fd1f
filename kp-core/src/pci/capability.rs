//! Ids of capabilities, for [`Config::capability`](super::Config::capability). PCI Code and ID Assignment Specification 1.11, section 2.

/// PCI Power Management Interface.
pub const POWER_MANAGEMENT: u8 = 0x01;
/// Accelerated Graphics Port.
pub const AGP: u8 = 0x02;
/// Vital Product Data.
pub const VPD: u8 = 0x03;
/// Slot Identification.
pub const SLOT_ID: u8 = 0x04;
/// Message Signaled Interrupts.
pub const MSI: u8 = 0x05;
/// CompactPCI Hot Swap.
pub const HOT_SWAP: u8 = 0x06;
/// PCI-X.
pub const PCI_X: u8 = 0x07;
/// HyperTransport.
pub const HYPER_TRANSPORT: u8 = 0x08;
/// The vendor's own: the byte behind the header is its length.
pub const VENDOR_SPECIFIC: u8 = 0x09;
/// Debug port.
pub const DEBUG_PORT: u8 = 0x0A;
/// PCI Hot-Plug.
pub const HOT_PLUG: u8 = 0x0C;
/// PCI Bridge Subsystem Vendor ID.
pub const SUBSYSTEM_ID: u8 = 0x0D;
/// Secure Device.
pub const SECURE_DEVICE: u8 = 0x0F;
/// PCI Express.
pub const PCI_EXPRESS: u8 = 0x10;
/// MSI-X.
pub const MSI_X: u8 = 0x11;
/// Serial ATA Data/Index Configuration.
pub const SATA: u8 = 0x12;
/// Advanced Features: of PCI functions that are not of PCI Express.
pub const ADVANCED_FEATURES: u8 = 0x13;
/// Enhanced Allocation.
pub const ENHANCED_ALLOCATION: u8 = 0x14;
