//! The two lists of capabilities. A device says where the next one is, and may say anything: a list is over after as many as have room.
use super::registers::{EXTENDED, FIRST_CAPABILITY, HAS_CAPABILITIES, HEADER, Registers, STATUS};
use crate::{Config, Passive, Result};

/// So many capabilities of 4 bytes are between the header and the extended ones.
const MOST: u16 = (EXTENDED - HEADER) / 4;
/// So many extended ones are in the rest.
const MOST_EXTENDED: u16 = (super::registers::SIZE - EXTENDED) / 4;

/// A capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it is: see [`capability`](super::capability).
    pub id: u8,
    /// Where its header is, in bytes.
    pub offset: u16,
}

/// An extended capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedCapability {
    /// What it is: see [`extended_capability`](super::extended_capability).
    pub id: u16,
    /// Version of its layout.
    pub version: u8,
    /// Where its header is, in bytes.
    pub offset: u16,
}

/// A walk through a list.
#[derive(Clone, Copy)]
struct Walk {
    /// Where the next one is; None before the first.
    next: Option<u16>,
    left: u16,
}

impl Registers {
    /// The next capability of a walk.
    #[cfg_attr(kp_driver, optimize(size))]
    fn next(self, walk: &mut Walk) -> Option<Capability> {
        let next = match walk.next {
            Some(next) => next,
            None if self.read16(STATUS) & HAS_CAPABILITIES == 0 => return None,
            None => self.read8(FIRST_CAPABILITY).into(),
        };
        // The two lowest bits are reserved.
        let offset = next & !3;
        walk.left = walk.left.checked_sub(1).filter(|_| offset >= HEADER)?;
        let [id, next] = self.read16(offset).to_le_bytes();
        walk.next = Some(next.into());
        (id != u8::MAX).then_some(Capability { id, offset }) // else nothing answers
    }

    /// The next extended capability of a walk.
    #[cfg_attr(kp_driver, optimize(size))]
    fn next_extended(self, walk: &mut Walk) -> Option<ExtendedCapability> {
        let offset = walk.next.unwrap_or(EXTENDED) & !3;
        walk.left = walk.left.checked_sub(1).filter(|_| offset >= EXTENDED)?;
        let header = self.read32(offset);
        walk.next = Some((header >> 20) as u16);
        // There is none, or nothing answers.
        let found = ExtendedCapability { id: header as u16, version: (header >> 16 & 0xF) as u8, offset };
        (header != 0 && header != u32::MAX).then_some(found)
    }

    /// Where a capability is.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn capability(self, id: u8) -> Option<u16> {
        let mut walk = Walk { next: None, left: MOST };
        while let Some(found) = self.next(&mut walk) {
            if found.id == id {
                return Some(found.offset);
            }
        }
        None
    }

    /// Where an extended capability is.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn extended_capability(self, id: u16) -> Option<u16> {
        let mut walk = Walk { next: None, left: MOST_EXTENDED };
        while let Some(found) = self.next_extended(&mut walk) {
            if found.id == id {
                return Some(found.offset);
            }
        }
        None
    }
}

/// A walk through a device's capabilities. Of [`Config::capabilities`].
pub struct Capabilities<'a> {
    config: &'a Config,
    walk: Walk,
}

impl Capabilities<'_> {
    /// The next one, in the order of the device's list; None: there are no more. Passive.
    pub fn next(&mut self, cx: &mut Passive) -> Result<Option<Capability>> {
        let Self { config, walk } = self;
        config.locked(cx, |_, registers| Ok(registers.next(walk)))
    }
}

/// A walk through a device's extended capabilities. Of [`Config::extended_capabilities`].
pub struct ExtendedCapabilities<'a> {
    config: &'a Config,
    walk: Walk,
}

impl ExtendedCapabilities<'_> {
    /// The next one, in the order of the device's list; None: there are no more. Passive.
    pub fn next(&mut self, cx: &mut Passive) -> Result<Option<ExtendedCapability>> {
        let Self { config, walk } = self;
        config.locked(cx, |_, registers| Ok(registers.next_extended(walk)))
    }
}

impl Config {
    /// Where the first capability with this id is, in bytes; None: the device has none. Ids are in
    /// [`pci::capability`](super::capability). Passive.
    pub fn capability(&self, cx: &mut Passive, id: u8) -> Result<Option<u16>> {
        self.locked(cx, |_, registers| Ok(registers.capability(id)))
    }

    /// Where the first extended capability with this id is, in bytes; None: the device has none, as each that is not of PCI Express, or the
    /// kernel reaches no more than 256 bytes of it. Ids are in [`pci::extended_capability`](super::extended_capability). Passive.
    pub fn extended_capability(&self, cx: &mut Passive, id: u16) -> Result<Option<u16>> {
        self.locked(cx, |_, registers| Ok(registers.extended_capability(id)))
    }

    /// All capabilities, one after the other. It is over after 48 whatever the device says: there is no room for more.
    ///
    /// ```
    /// # use kp_core::{Config, Passive, Result, pci::capability};
    /// # fn f(config: &Config, cx: &mut Passive) -> Result<()> {
    /// let mut list = config.capabilities();
    /// while let Some(found) = list.next(cx)? {
    ///     if found.id == capability::VENDOR_SPECIFIC {
    ///         let len = config.read8(cx, found.offset + 2)?;
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn capabilities(&self) -> Capabilities<'_> {
        Capabilities { config: self, walk: Walk { next: None, left: MOST } }
    }

    /// All extended capabilities, one after the other, as [`capabilities`](Self::capabilities). It is over after 960.
    pub fn extended_capabilities(&self) -> ExtendedCapabilities<'_> {
        ExtendedCapabilities { config: self, walk: Walk { next: None, left: MOST_EXTENDED } }
    }
}
