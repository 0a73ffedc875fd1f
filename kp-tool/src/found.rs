//! A PCI device as somebody sees it who is about to write a driver: what `kp scan` prints, and what `cargo kp new` reads.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of [`Scan`]'s form.
pub const FORMAT: &str = "kp-scan/1";

/// What `kp scan --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// All devices of a machine, by address.
    pub devices: Vec<Found>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// As in `0000:00:04.0`.
    pub address: String,
    /// Vendor and device, four hexadecimal digits each.
    pub vendor: String,
    /// The device's number.
    pub device: String,
    /// Vendor and number of the card, if it says.
    pub subsystem: Option<[String; 2]>,
    /// Base class, sub-class and interface, six hexadecimal digits.
    pub class: String,
    /// What pci.ids calls vendor and device, as far as it knows them.
    pub name: Option<String>,
    /// The driver that has it.
    pub driver: Option<String>,
    /// Its BARs.
    pub bars: Vec<Bar>,
    /// The pin of its line interrupt, as in `A`.
    pub pin: Option<char>,
    /// Vectors of MSI. None: it has none, or the kernel shows capabilities to root only.
    pub msi: Option<u32>,
    /// Vectors of MSI-X; the same.
    pub msi_x: Option<u32>,
    /// Whether it is a device of PCI Express. None: the kernel shows capabilities to root only.
    pub express: Option<bool>,
    /// Its configuration space as far as the kernel shows it, in hexadecimal.
    pub config: String,
}

/// One base address register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// Its number.
    pub number: usize,
    /// What lies behind it.
    pub kind: BarKind,
    /// Bits of its address.
    pub bits: u32,
    /// Whether reading it changes nothing.
    pub prefetchable: bool,
    /// Bytes.
    pub len: u64,
}

/// What lies behind a BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BarKind {
    /// Memory.
    Memory,
    /// Ports of the processor's.
    Ports,
}

impl Scan {
    /// What a file says that `kp scan --json` has written.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Form {
            format: String,
        }
        let Ok(Form { format }) = serde_json::from_str(text) else { return Err("it is no scan".to_owned()) };
        if format != FORMAT {
            return Err(format!("it is of the form {format}, and {FORMAT} is read here"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

impl Found {
    /// A device by its configuration space, of which there may be but a part, and its BARs.
    #[must_use]
    pub fn of_config(address: &str, config: &[u8], bars: Vec<Bar>) -> Self {
        let capabilities = capabilities(config);
        let of = |id: u8| capabilities.as_ref().and_then(|list| list.iter().find(|(found, _)| *found == id));
        let word = |at: usize| Some(u16::from_le_bytes(config.get(at..at + 2)?.try_into().ok()?));
        let digits = |at: usize| format!("{:04x}", word(at).unwrap_or_default());
        let byte = |at: usize| config.get(at).copied().unwrap_or_default();
        Found {
            address: address.to_owned(),
            vendor: digits(0),
            device: digits(2),
            subsystem: Some([digits(0x2c), digits(0x2e)]).filter(|card| card.iter().all(|part| part != "0000")),
            class: format!("{:02x}{:02x}{:02x}", byte(0x0b), byte(0x0a), byte(0x09)),
            name: None,
            driver: None,
            bars,
            pin: Some(byte(0x3d)).filter(|pin| (1..=4).contains(pin)).map(|pin| char::from(b'A' + pin - 1)),
            // Bits 1 to 3 of the message control: the logarithm of how many.
            msi: of(0x05).and_then(|(_, at)| Some(1 << (word(at + 2)? >> 1 & 7).min(5))),
            // Bits 0 to 10: one less than the table has.
            msi_x: of(0x11).and_then(|(_, at)| Some(u32::from(word(at + 2)? & 0x7ff) + 1)),
            express: capabilities.as_ref().map(|_| of(0x10).is_some()),
            config: config.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Whether the kernel has kept its capabilities to itself, and so whether it sends messages is not known.
    #[must_use]
    pub fn hides_messages(&self) -> bool {
        self.express.is_none()
    }

    /// Its kinds of interrupt, as far as they are known, for a person.
    #[must_use]
    pub fn interrupts(&self) -> Vec<String> {
        let mut kinds = Vec::new();
        kinds.extend(self.pin.map(|pin| format!("line, pin {pin}")));
        kinds.extend(self.msi.map(|count| format!("MSI, {count}")));
        kinds.extend(self.msi_x.map(|count| format!("MSI-X, {count}")));
        kinds
    }
}

/// The capabilities in configuration space: number and offset of each. None if the kernel does not show them, as to other users than root.
fn capabilities(config: &[u8]) -> Option<Vec<(u8, usize)>> {
    if config.len() <= 64 {
        return None;
    }
    let mut found = Vec::new();
    // Bit 4 of the status register: there is a list.
    let mut at = if config[6] & 0x10 != 0 { usize::from(config[0x34] & 0xfc) } else { 0 };
    // A list that is a circle ends after as many as there is room for.
    while at >= 64 && at + 2 <= config.len() && found.len() < 48 {
        found.push((config[at], at));
        at = usize::from(config[at + 1] & 0xfc);
    }
    Some(found)
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_deref().unwrap_or("no driver");
        let name = self.name.as_deref().map(|name| format!("  {name}")).unwrap_or_default();
        writeln!(f, "{}  {}:{}  class {}{name}  ({driver})", self.address, self.vendor, self.device, self.class)?;
        for bar in &self.bars {
            writeln!(f, "    BAR {}    {bar}", bar.number)?;
        }
        let mut kinds = self.interrupts();
        if self.hides_messages() {
            kinds.push("message interrupts are shown to root only: `sudo kp scan`".to_owned());
        }
        if !kinds.is_empty() {
            writeln!(f, "    interrupts  {}", kinds.join("; "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            BarKind::Memory => write!(f, "memory, {} bit", self.bits)?,
            BarKind::Ports => write!(f, "ports")?,
        }
        write!(f, "{}, {}", if self.prefetchable { ", prefetchable" } else { "" }, size(self.len))
    }
}

/// A number of bytes for a person.
fn size(len: u64) -> String {
    match len {
        len if len >= 1 << 30 && len % (1 << 30) == 0 => format!("{} GiB", len >> 30),
        len if len >= 1 << 20 && len % (1 << 20) == 0 => format!("{} MiB", len >> 20),
        len if len >= 1 << 10 && len % (1 << 10) == 0 => format!("{} KiB", len >> 10),
        len => format!("{len} bytes"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A configuration space with a capability of MSI for 4 vectors, and one of MSI-X for 8.
    pub(crate) fn config() -> Vec<u8> {
        let mut config = vec![0; 256];
        config[0..4].copy_from_slice(&[0x34, 0x12, 0xe8, 0x11]);
        config[6] = 0x10;
        config[0x09..0x0c].copy_from_slice(&[0x01, 0x02, 0x03]);
        config[0x2c..0x30].copy_from_slice(&[0xf4, 0x1a, 0x00, 0x11]);
        config[0x34] = 0x40;
        config[0x3d] = 1;
        config[0x40..0x44].copy_from_slice(&[0x05, 0x50, 0x84, 0x00]);
        config[0x50..0x54].copy_from_slice(&[0x11, 0x00, 0x07, 0x00]);
        config
    }

    #[test]
    fn a_configuration_space_says_who_the_device_is_and_how_it_interrupts() {
        let found = Found::of_config("0000:00:04.0", &config(), Vec::new());
        assert_eq!((found.vendor.as_str(), found.device.as_str(), found.class.as_str()), ("1234", "11e8", "030201"));
        assert_eq!(found.subsystem, Some(["1af4".to_owned(), "1100".to_owned()]));
        assert_eq!((found.pin, found.msi, found.msi_x, found.express), (Some('A'), Some(4), Some(8), Some(false)));
    }

    #[test]
    fn a_list_of_capabilities_that_is_a_circle_ends() {
        let mut circle = config();
        circle[0x51] = 0x40;
        assert_eq!(capabilities(&circle).expect("it is shown").len(), 48);
        circle[0x34] = 0xfc;
        circle[0xfd] = 0xff;
        assert!(capabilities(&circle).is_some());
    }

    #[test]
    fn what_is_printed_as_json_is_read_again_and_nothing_else_is() {
        let bar = Bar { number: 0, kind: BarKind::Ports, bits: 32, prefetchable: false, len: 32 };
        let scan = Scan { devices: vec![Found::of_config("0000:00:04.0", &config(), vec![bar])] };
        let text = crate::json(FORMAT, &scan).expect("it is written");
        assert!(text.contains(r#""kind": "ports""#), "{text}");
        assert_eq!(Scan::parse(&text), Ok(scan));
        assert_eq!(Scan::parse("[]"), Err("it is no scan".to_owned()));
        let other = text.replace(FORMAT, "kp-scan/2");
        assert_eq!(Scan::parse(&other), Err("it is of the form kp-scan/2, and kp-scan/1 is read here".to_owned()));
        assert!(Scan::parse(&text.replace("ports", "holes")).is_err_and(|why| why.contains("holes")));
    }
}
