//! The PCI devices of this machine, as somebody sees them who is about to write a driver.

use crate::bus::{Bus, Device};
use crate::machine::Machine;
use serde::Serialize;
use std::fmt;
use std::fs;

/// Where Debian's package pci.ids has its list.
const IDS: &str = "/usr/share/misc/pci.ids";

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Whether it is a device of PCI Express; the same.
    pub express: Option<bool>,
    /// Its configuration space as far as the kernel shows it, in hexadecimal.
    pub config: String,
}

/// One base address register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Its number.
    pub number: usize,
    /// `memory` or `ports`.
    pub kind: &'static str,
    /// Bits of its address.
    pub bits: u32,
    /// Whether reading it changes nothing.
    pub prefetchable: bool,
    /// Bytes.
    pub len: u64,
}

/// Flags in a device's file `resource`, from the kernel's include/linux/ioport.h.
mod flag {
    pub const IO: u64 = 0x100;
    pub const MEMORY: u64 = 0x200;
    pub const PREFETCH: u64 = 0x2000;
    pub const MEMORY_64: u64 = 0x10_0000;
}

/// All devices, by address.
pub fn scan(machine: &dyn Machine) -> Vec<Found> {
    let names = machine.text(IDS).unwrap_or_default();
    let sys = machine.at("/sys");
    Bus(&sys).devices().iter().map(|device| found(device, &names)).collect()
}

fn found(device: &Device, names: &str) -> Found {
    let id = |file| device.says(file).trim_start_matches("0x").to_owned();
    let (vendor, number) = (id("vendor"), id("device"));
    let card = [id("subsystem_vendor"), id("subsystem_device")];
    let config = fs::read(device.folder().join("config")).unwrap_or_default();
    let capabilities = capabilities(&config);
    let of = |id: u8| capabilities.as_ref().and_then(|list| list.iter().find(|(found, _)| *found == id));
    let word = |at: usize| Some(u16::from_le_bytes(config.get(at..at + 2)?.try_into().ok()?));
    Found {
        address: device.address(),
        name: name(names, &vendor, &number),
        vendor,
        device: number,
        subsystem: Some(card).filter(|card| card.iter().all(|part| !part.is_empty() && part != "0000")),
        class: id("class"),
        driver: device.driver(),
        bars: bars(&device.says("resource")),
        pin: config.get(0x3d).filter(|&&pin| (1..=4).contains(&pin)).map(|&pin| char::from(b'A' + pin - 1)),
        // Bits 1 to 3 of the message control: the logarithm of how many.
        msi: of(0x05).and_then(|(_, at)| Some(1 << (word(at + 2)? >> 1 & 7).min(5))),
        // Bits 0 to 10: one less than the table has.
        msi_x: of(0x11).and_then(|(_, at)| Some(u32::from(word(at + 2)? & 0x7ff) + 1)),
        express: capabilities.as_ref().map(|_| of(0x10).is_some()),
        config: config.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The BARs in a device's file `resource`, of whose lines the first six are theirs: start, end, flags.
fn bars(resource: &str) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (number, line) in resource.lines().take(6).enumerate() {
        let mut numbers = line.split(' ').map(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
        let (Some(Some(start)), Some(Some(end)), Some(Some(flags))) = (numbers.next(), numbers.next(), numbers.next())
        else {
            continue;
        };
        let kind = match flags {
            flags if flags & flag::MEMORY != 0 => "memory",
            flags if flags & flag::IO != 0 => "ports",
            _ => continue,
        };
        let bits = if flags & flag::MEMORY_64 != 0 { 64 } else { 32 };
        let len = end.saturating_sub(start).saturating_add(1);
        bars.push(Bar { number, kind, bits, prefetchable: flags & flag::PREFETCH != 0, len });
    }
    bars
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

/// What pci.ids calls a device: a vendor's line begins with its number, its devices' lines with a tab and theirs.
fn name(names: &str, vendor: &str, device: &str) -> Option<String> {
    let mut lines = names.lines().skip_while(|line| !line.starts_with(vendor) || vendor.is_empty());
    let maker = lines.next()?.strip_prefix(vendor)?.trim();
    let own = lines.take_while(|line| line.starts_with(['\t', '#']) || line.is_empty());
    let mut named = own.filter_map(|line| line.strip_prefix('\t')?.strip_prefix(device)?.strip_prefix("  "));
    Some(match named.next() {
        Some(device) => format!("{maker} {}", device.trim()),
        None => maker.to_owned(),
    })
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_deref().unwrap_or("no driver");
        let name = self.name.as_deref().map(|name| format!("  {name}")).unwrap_or_default();
        writeln!(f, "{}  {}:{}  class {}{name}  ({driver})", self.address, self.vendor, self.device, self.class)?;
        for bar in &self.bars {
            let bits = if bar.kind == "memory" { format!(", {} bit", bar.bits) } else { String::new() };
            let prefetchable = if bar.prefetchable { ", prefetchable" } else { "" };
            writeln!(f, "    BAR {}    {}{bits}{prefetchable}, {}", bar.number, bar.kind, size(bar.len))?;
        }
        let mut kinds = Vec::new();
        kinds.extend(self.pin.map(|pin| format!("line, pin {pin}")));
        kinds.extend(self.msi.map(|count| format!("MSI, {count}")));
        kinds.extend(self.msi_x.map(|count| format!("MSI-X, {count}")));
        if self.express.is_none() {
            kinds.push("message interrupts are shown to root only: `sudo kp scan`".to_owned());
        }
        if !kinds.is_empty() {
            writeln!(f, "    interrupts  {}", kinds.join("; "))?;
        }
        Ok(())
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
mod tests {
    use super::*;
    use crate::fake::Fake;

    const ADDRESS: &str = "0000:00:04.0";
    const FOLDER: &str = "/sys/bus/pci/devices/0000:00:04.0";

    fn edu(test: &str) -> Fake {
        let fake = Fake::new(test);
        fake.device(ADDRESS, "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00\n", Some("kp_edu"));
        for (file, text) in
            [("class", "0x00ff00\n"), ("subsystem_vendor", "0x1af4\n"), ("subsystem_device", "0x1100\n")]
        {
            fake.file(&format!("{FOLDER}/{file}"), text);
        }
        let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        let memory = "0x00000000fea00000 0x00000000feafffff 0x0000000000040200\n";
        fake.file(&format!("{FOLDER}/resource"), [memory, &none.repeat(12)].concat());
        fake
    }

    /// A configuration space with a capability of MSI for 4 vectors, and one of MSI-X for 8.
    fn config() -> Vec<u8> {
        let mut config = vec![0; 256];
        config[6] = 0x10;
        config[0x34] = 0x40;
        config[0x3d] = 1;
        config[0x40..0x44].copy_from_slice(&[0x05, 0x50, 0x84, 0x00]);
        config[0x50..0x54].copy_from_slice(&[0x11, 0x00, 0x07, 0x00]);
        config
    }

    #[test]
    fn a_device_is_shown_with_what_a_driver_needs_to_know() {
        let fake = edu("scan");
        fake.file(&format!("{FOLDER}/config"), config());
        fake.file(IDS, "# list\n1234  Technical Corp.\n\t1111  QEMU VGA\n\t11e8  QEMU edu\n\t\t1af4 1100  x\n1235  Other\n\t11e9  no\n");
        let found = scan(&fake);
        assert_eq!(
            found[0].to_string(),
            "0000:00:04.0  1234:11e8  class 00ff00  Technical Corp. QEMU edu  (kp_edu)\n    \
             BAR 0    memory, 32 bit, 1 MiB\n    interrupts  line, pin A; MSI, 4; MSI-X, 8\n"
        );
        assert_eq!(found[0].subsystem, Some(["1af4".to_owned(), "1100".to_owned()]));
        assert_eq!(found[0].express, Some(false));
        assert_eq!((found.len(), found[0].config.len()), (1, 512));
    }

    #[test]
    fn what_only_root_may_see_is_said_and_not_taken_for_missing() {
        let fake = edu("scan-user");
        fake.file(&format!("{FOLDER}/config"), &config()[..64]);
        let found = &scan(&fake)[0];
        assert_eq!((found.msi, found.msi_x, found.express, found.pin), (None, None, None, Some('A')));
        assert!(found.to_string().contains("line, pin A; message interrupts are shown to root only: `sudo kp scan`"));
        assert_eq!(found.name, None, "there is no list");
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
    fn names_are_those_of_the_vendors_own_devices() {
        let list = "1234  A\n\t0001  one\n5678  B\n\t11e8  two\n";
        assert_eq!(name(list, "1234", "11e8").as_deref(), Some("A"));
        assert_eq!(name(list, "5678", "11e8").as_deref(), Some("B two"));
        assert_eq!(name(list, "9999", "0001"), None);
    }
}
