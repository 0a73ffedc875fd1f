//! What a plugin says of itself in its object or its driver: the section `.kp_info`.
use anyhow::{Context, Result, bail};
use object::{Object as _, ObjectSection as _};

/// The section's name. It is read from the static library and isn't part of the module; in a driver it is given back after the start.
const SECTION: &str = ".kp_info";
/// The layout's version.
const VERSION: u32 = 1;
/// The name's field, padded with zeros.
const NAME: std::ops::Range<usize> = 4..36;
/// Where the devices begin: after version, name and count.
const DEVICES: usize = 40;

/// A plugin's name and the devices it drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The name that device nodes and clients use.
    pub name: String,
    /// PCI vendor and device numbers; empty for a plugin without a device.
    pub devices: Vec<(u16, u16)>,
}

impl Info {
    /// Finds the section in the members of a static library.
    ///
    /// # Errors
    /// No section, more than one, or one that isn't laid out as version 1 has it.
    pub fn from_members(members: &[Vec<u8>]) -> Result<Info> {
        let mut found = Vec::new();
        for member in members {
            let file = object::File::parse(member.as_slice())?;
            if let Some(section) = file.section_by_name(SECTION) {
                found.push(section.data()?.to_vec());
            }
        }
        match found.as_slice() {
            [data] => Info::decode(data).with_context(|| format!("the plugin's {SECTION} isn't of version {VERSION}")),
            [] => bail!("no {SECTION} in the library: kp-linux and cargo-kp aren't of one version"),
            _ => bail!("{} times {SECTION} in one library: a plugin can't depend on another plugin", found.len()),
        }
    }

    /// Finds the section in a Windows driver.
    ///
    /// # Errors
    /// No section, or one that isn't laid out as version 1 has it.
    pub fn from_driver(driver: &[u8]) -> Result<Info> {
        let file = object::File::parse(driver)?;
        let section = file.section_by_name(SECTION);
        let section = section
            .with_context(|| format!("no {SECTION} in the driver: kp-windows and cargo-kp aren't of one version"))?;
        Info::decode(section.data()?).with_context(|| format!("the plugin's {SECTION} isn't of version {VERSION}"))
    }

    /// Decodes the section: u32 version, name, u32 count, then vendor and device for each, all little-endian.
    fn decode(data: &[u8]) -> Option<Info> {
        let word = |at: usize| Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?));
        let half = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
        if word(0)? != VERSION {
            return None;
        }
        let name = data.get(NAME)?;
        let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(name.len())];
        let count = usize::try_from(word(NAME.end)?).ok()?;
        let devices = data.get(DEVICES..DEVICES.checked_add(count.checked_mul(4)?)?)?;
        Some(Info {
            name: std::str::from_utf8(name).ok()?.to_owned(),
            devices: devices.chunks_exact(4).map(|pair| (half(pair), half(&pair[2..]))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Info;

    fn section(version: u8, count: u8, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 40];
        bytes[0] = version;
        bytes[4..7].copy_from_slice(b"edu");
        bytes[36] = count;
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn name_and_devices_come_out() {
        let info = Info::decode(&section(1, 1, &[0x34, 0x12, 0xe8, 0x11])).expect("a well-formed section");
        assert_eq!(info, Info { name: "edu".to_owned(), devices: vec![(0x1234, 0x11e8)] });
    }

    #[test]
    fn another_version_or_a_short_section_is_refused() {
        assert_eq!(Info::decode(&section(2, 0, &[])), None);
        assert_eq!(Info::decode(&section(1, 2, &[0x34, 0x12, 0xe8, 0x11])), None);
        assert_eq!(Info::decode(&[1, 0, 0, 0]), None);
    }
}
