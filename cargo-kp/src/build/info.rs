//! What a plugin says of itself in its object or its driver: the section `.kp_info`.
use anyhow::{Context, Result, bail};
use object::{Object as _, ObjectSection as _};

/// The section's name. It is read from the static library and isn't part of the module; in a driver it is given back after the start.
const SECTION: &str = ".kp_info";
/// The layout's version. kp-core's `host/info.rs` has the layout.
const VERSION: u32 = 2;
/// Bit of an entry's tag: whoever does not know the tag may skip it.
const OPTIONAL: u16 = 0x8000;

/// One device, or one class of them, that a plugin drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchId {
    /// A PCI device.
    Pci {
        /// Vendor.
        vendor: u16,
        /// Device.
        device: u16,
        /// Vendor and number of the card that it is on; None: any.
        subsystem: Option<(u16, u16)>,
    },
    /// PCI devices of a class.
    PciClass {
        /// `0xCCSSPP`: base class, sub-class, programming interface.
        class: u32,
        /// Does the programming interface count?
        exact: bool,
    },
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The name that device nodes and clients use.
    pub name: String,
    /// What it drives; empty for a plugin without a device.
    pub devices: Vec<MatchId>,
    /// Interrupt vectors that it serves at most.
    pub max_vectors: u32,
}

impl Info {
    /// Finds the section in the members of a static library.
    ///
    /// # Errors
    /// No section, more than one, or one that this tool cannot read.
    pub fn from_members(members: &[Vec<u8>]) -> Result<Info> {
        let mut found = Vec::new();
        for member in members {
            let file = object::File::parse(member.as_slice())?;
            if let Some(section) = file.section_by_name(SECTION) {
                found.push(section.data()?.to_vec());
            }
        }
        match found.as_slice() {
            [data] => Info::decode(data),
            [] => bail!("no {SECTION} in the library: kp-linux and cargo-kp aren't of one version"),
            _ => bail!("{} times {SECTION} in one library: a plugin can't depend on another plugin", found.len()),
        }
    }

    /// Finds the section in a Windows driver.
    ///
    /// # Errors
    /// No section, or one that this tool cannot read.
    pub fn from_driver(driver: &[u8]) -> Result<Info> {
        let file = object::File::parse(driver)?;
        let section = file.section_by_name(SECTION);
        let section = section
            .with_context(|| format!("no {SECTION} in the driver: kp-windows and cargo-kp aren't of one version"))?;
        Info::decode(section.data()?)
    }

    /// Decodes the section.
    fn decode(data: &[u8]) -> Result<Info> {
        let short = || format!("the plugin's {SECTION} is cut short or damaged: build it again");
        let version = word(data, 0).with_context(short)?;
        if version != VERSION {
            bail!(
                "the plugin's {SECTION} is of version {version}, not {VERSION}: use cargo-kp and kp-core of one version"
            );
        }
        let len = word(data, 4).and_then(|len| usize::try_from(len).ok()).with_context(short)?;
        // Linkers may pad the section.
        let mut rest = data.get(8..len).with_context(short)?;
        let (mut name, mut devices, mut max_vectors) = (None, Vec::new(), None);
        while !rest.is_empty() {
            let tag = half(rest, 0).with_context(short)?;
            let len = half(rest, 2).with_context(short)?;
            let payload = rest.get(4..4 + usize::from(len)).with_context(short)?;
            rest = &rest[4 + payload.len()..];
            let halves = |at| half(payload, at).with_context(short);
            let words = |at| word(payload, at).with_context(short);
            let known = match tag & !OPTIONAL {
                1 => std::str::from_utf8(payload).ok().is_some_and(|text| name.replace(text.to_owned()).is_none()),
                2 | 3 => {
                    let subsystem = if tag & !OPTIONAL == 3 { Some((halves(4)?, halves(6)?)) } else { None };
                    devices.push(MatchId::Pci { vendor: halves(0)?, device: halves(2)?, subsystem });
                    payload.len() == if subsystem.is_some() { 8 } else { 4 }
                }
                4 => {
                    let (class, mask) = (words(0)?, words(4)?);
                    devices.push(MatchId::PciClass { class, exact: mask == 0xff_ffff });
                    payload.len() == 8 && class & !mask == 0 && matches!(mask, 0xff_ff00 | 0xff_ffff)
                }
                5 => {
                    let (least, most) = (words(0)?, words(4)?);
                    payload.len() == 8 && (1..=most).contains(&least) && max_vectors.replace(most).is_none()
                }
                _ if tag & OPTIONAL != 0 => true,
                unknown => bail!(
                    "the plugin's {SECTION} has an entry {unknown}, which this cargo-kp doesn't know: use the cargo-kp that belongs to its kp-core"
                ),
            };
            if !known {
                bail!(short());
            }
        }
        let name = name.filter(|name| !name.is_empty()).with_context(short)?;
        Ok(Info { name, devices, max_vectors: max_vectors.unwrap_or(32) })
    }
}

/// The u16 at `at`.
fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The u32 at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Info, MatchId};

    /// A section of these entries, padded as linkers do.
    fn section(version: u32, entries: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = [version.to_le_bytes(), [0; 4]].concat();
        for (tag, payload) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend((payload.len() as u16).to_le_bytes());
            bytes.extend(*payload);
        }
        let len = (bytes.len() as u32).to_le_bytes();
        bytes[4..8].copy_from_slice(&len);
        bytes.extend([0; 9]);
        bytes
    }

    const NAME: (u16, &[u8]) = (1, b"edu");
    const PCI: (u16, &[u8]) = (2, &[0x34, 0x12, 0xe8, 0x11]);

    #[test]
    fn name_devices_and_vectors_come_out() {
        let card: (u16, &[u8]) = (3, &[0xee, 0x10, 0x24, 0x70, 0xf0, 0x10, 7, 0]);
        let class: (u16, &[u8]) = (4, &[0, 8, 1, 0, 0, 0xff, 0xff, 0]);
        let exact: (u16, &[u8]) = (4, &[2, 8, 1, 0, 0xff, 0xff, 0xff, 0]);
        let vectors: (u16, &[u8]) = (0x8005, &[1, 0, 0, 0, 8, 0, 0, 0]);
        let info = Info::decode(&section(2, &[NAME, PCI, card, class, exact, vectors])).expect("a well-formed section");
        let devices = vec![
            MatchId::Pci { vendor: 0x1234, device: 0x11e8, subsystem: None },
            MatchId::Pci { vendor: 0x10ee, device: 0x7024, subsystem: Some((0x10f0, 7)) },
            MatchId::PciClass { class: 0x010800, exact: false },
            MatchId::PciClass { class: 0x010802, exact: true },
        ];
        assert_eq!(info, Info { name: "edu".to_owned(), devices, max_vectors: 8 });
    }

    #[test]
    fn an_entry_that_nobody_knows_is_skipped_if_it_may_be_and_else_refused_with_what_to_do() {
        let info = Info::decode(&section(2, &[NAME, (0x8063, &[1, 2, 3]), PCI])).expect("it may be skipped");
        assert_eq!(info.devices.len(), 1);
        let refusal = Info::decode(&section(2, &[NAME, (0x63, &[1, 2, 3]), PCI])).unwrap_err().to_string();
        assert!(refusal.contains("entry 99") && refusal.contains("use the cargo-kp"), "{refusal}");
        assert_eq!(refusal.lines().count(), 1);
    }

    #[test]
    fn another_version_is_refused_with_what_to_do() {
        let refusal = Info::decode(&section(1, &[NAME])).unwrap_err().to_string();
        assert!(refusal.contains("version 1, not 2"), "{refusal}");
    }

    #[test]
    fn a_short_or_wrong_section_is_refused() {
        let whole = section(2, &[NAME, PCI]);
        let used = whole.len() - 9;
        for len in 0..used {
            assert!(Info::decode(&whole[..len]).is_err(), "{len} of {used} bytes");
        }
        assert!(Info::decode(&whole[..used]).is_ok());
        for wrong in [
            &[PCI][..],
            &[NAME, NAME],
            &[(1, &[])],
            &[(1, &[0xff])],
            &[NAME, (2, &[1, 2, 3])],
            &[NAME, (2, &[1, 2, 3, 4, 5])],
            &[NAME, (3, &[1, 2, 3, 4])],
            &[NAME, (4, &[0, 8, 1, 0, 0, 0, 0xff, 0])],
            &[NAME, (4, &[2, 8, 1, 0, 0, 0xff, 0xff, 0])],
            &[NAME, (0x8005, &[2, 0, 0, 0, 1, 0, 0, 0])],
        ] {
            assert!(Info::decode(&section(2, wrong)).is_err(), "{wrong:?}");
        }
        // Lengths that lie.
        let mut lies = whole.clone();
        lies[4..8].fill(0xff);
        assert!(Info::decode(&lies).is_err());
        let mut lies = whole.clone();
        lies[10..12].fill(0xff);
        assert!(Info::decode(&lies).is_err());
        let mut lies = whole;
        lies[4..8].copy_from_slice(&4u32.to_le_bytes());
        assert!(Info::decode(&lies).is_err());
    }
}
