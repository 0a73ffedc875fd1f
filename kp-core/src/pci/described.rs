//! What capabilities say of a device: its link, its MSI-X, its power state.
use super::{capability, registers::Registers};
use crate::{Config, Passive, Result};

/// A device's PCI Express link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcieLink {
    /// As it runs now: what the device and the port above it have agreed on.
    pub current: LinkState,
    /// The most that the device can do.
    pub max: LinkState,
}

/// Speed and width of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The generation: 1 is 2.5 GT/s, 2 is 5, 3 is 8, 4 is 16, 5 is 32, 6 is 64.
    pub speed: u8,
    /// Lanes: 1, 2, 4, 8, 16.
    pub width: u8,
}

impl LinkState {
    /// Of the lower half of Link Capabilities, or of Link Status.
    fn of(bits: u16) -> Self {
        Self { speed: (bits & 0xF) as u8, width: (bits >> 4 & 0x3F) as u8 }
    }
}

/// What a device has for MSI-X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msix {
    /// Vectors of its table, 1 to 2048. How many of them an enabled interrupt has is another matter.
    pub vectors: u16,
    /// Where the table is, of 16 bytes each. The kernel's: not to be written.
    pub table: MsixPlace,
    /// Where the bits of what is pending are (PBA).
    pub pba: MsixPlace,
}

/// A place in a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixPlace {
    /// Which BAR. A device may say one that there is not.
    pub bar: u8,
    /// In bytes, a multiple of 8.
    pub offset: u32,
}

impl MsixPlace {
    fn of(bits: u32) -> Self {
        Self { bar: (bits & 7) as u8, offset: bits & !7 }
    }
}

/// A power state of PCI power management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// At work.
    D0,
    /// Sleeps lightly.
    D1,
    /// Sleeps.
    D2,
    /// Sleeps, and may have forgotten everything: D3hot.
    D3,
}

// PCI Express Base Specification 5.0, section 7.5.3.
/// PCI Express Capabilities, 16 bits: version, and the kind of device.
pub(super) const EXPRESS_FLAGS: u16 = 0x02;
/// Link Capabilities, 32 bits.
const LINK_CAPABILITIES: u16 = 0x0C;
/// Link Status, 16 bits.
const LINK_STATUS: u16 = 0x12;
/// Kinds of devices that are in the root complex, and have no link: integrated endpoint, event collector.
const INTEGRATED: [u16; 2] = [0x9, 0xA];

/// Of what [`EXPRESS_FLAGS`] says: has the device a link?
pub(super) fn has_link(flags: u16) -> bool {
    !INTEGRATED.contains(&(flags >> 4 & 0xF))
}

// The same, section 7.7.2: MSI-X.
/// Message Control, 16 bits: in the lower ones how many vectors the table has, less one.
pub(super) const MSIX_CONTROL: u16 = 0x02;
const MSIX_VECTORS: u16 = 0x7FF;
/// Where table and pending bits are: which BAR, and the offset, 32 bits each.
const MSIX_TABLE: u16 = 0x04;
const MSIX_PBA: u16 = 0x08;

// The same, section 7.5.2: power management.
/// Control and status, 16 bits: in the lowest two the state.
pub(super) const POWER_CONTROL: u16 = 0x04;

impl Config {
    /// The device's PCI Express link, as it is and as it could be; None: it has none, as one that is not of PCI Express, or that is a part of
    /// the chipset. Passive.
    pub fn link(&self, cx: &mut Passive) -> Result<Option<PcieLink>> {
        self.described(cx, capability::PCI_EXPRESS, |registers, at| {
            let max = LinkState::of(registers.read16(at + LINK_CAPABILITIES));
            let link = PcieLink { current: LinkState::of(registers.read16(at + LINK_STATUS)), max };
            has_link(registers.read16(at + EXPRESS_FLAGS)).then_some(link)
        })
    }

    /// What the device has for MSI-X; None: it has no MSI-X. Passive.
    pub fn msix(&self, cx: &mut Passive) -> Result<Option<Msix>> {
        self.described(cx, capability::MSI_X, |registers, at| {
            let vectors = (registers.read16(at + MSIX_CONTROL) & MSIX_VECTORS) + 1;
            let place = |offset| MsixPlace::of(registers.read32(at + offset));
            Some(Msix { vectors, table: place(MSIX_TABLE), pba: place(MSIX_PBA) })
        })
    }

    /// The device's power state: D0, too, if it has no power management. Passive.
    pub fn power(&self, cx: &mut Passive) -> Result<PowerState> {
        let state = self.described(cx, capability::POWER_MANAGEMENT, |registers, at| {
            Some(match registers.read16(at + POWER_CONTROL) & 3 {
                0 => PowerState::D0,
                1 => PowerState::D1,
                2 => PowerState::D2,
                _ => PowerState::D3,
            })
        })?;
        Ok(state.unwrap_or(PowerState::D0))
    }

    /// What the capability with this id says, at its offset.
    #[cfg_attr(kp_driver, optimize(size))]
    fn described<R>(&self, cx: &mut Passive, id: u8, f: impl FnOnce(Registers, u16) -> Option<R>) -> Result<Option<R>> {
        self.locked(cx, |_, registers| Ok(registers.capability(id).and_then(|at| f(registers, at))))
    }
}
