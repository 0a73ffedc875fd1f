//! The PCI devices of this machine, as somebody sees them who is about to write a driver.

use crate::bus::{Bus, Device};
use crate::found::{Bar, BarKind, Found};
use crate::machine::Machine;
use std::fs;

/// Where Debian's package pci.ids has its list.
const IDS: &str = "/usr/share/misc/pci.ids";

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
    Found {
        name: name(names, &vendor, &number),
        vendor,
        device: number,
        subsystem: Some(card).filter(|card| card.iter().all(|part| !part.is_empty() && part != "0000")),
        class: id("class"),
        driver: device.driver(),
        ..Found::of_config(&device.address(), &config, bars(&device.says("resource")))
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
            flags if flags & flag::MEMORY != 0 => BarKind::Memory,
            flags if flags & flag::IO != 0 => BarKind::Ports,
            _ => continue,
        };
        let bits = if flags & flag::MEMORY_64 != 0 { 64 } else { 32 };
        let len = end.saturating_sub(start).saturating_add(1);
        bars.push(Bar { number, kind, bits, prefetchable: flags & flag::PREFETCH != 0, len });
    }
    bars
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::found::tests::config;

    const ADDRESS: &str = "0000:00:04.0";
    const FOLDER: &str = "/sys/bus/pci/devices/0000:00:04.0";

    fn edu() -> Fake {
        let fake = Fake::new();
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

    #[test]
    fn a_device_is_shown_with_what_a_driver_needs_to_know() {
        let fake = edu();
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
        let fake = edu();
        fake.file(&format!("{FOLDER}/config"), &config()[..64]);
        let found = &scan(&fake)[0];
        assert_eq!((found.msi, found.msi_x, found.express, found.pin), (None, None, None, Some('A')));
        assert!(found.to_string().contains("line, pin A; message interrupts are shown to root only: `sudo kp scan`"));
        assert_eq!(found.name, None, "there is no list");
    }

    #[test]
    fn names_are_those_of_the_vendors_own_devices() {
        let list = "1234  A\n\t0001  one\n5678  B\n\t11e8  two\n";
        assert_eq!(name(list, "1234", "11e8").as_deref(), Some("A"));
        assert_eq!(name(list, "5678", "11e8").as_deref(), Some("B two"));
        assert_eq!(name(list, "9999", "0001"), None);
    }
}
