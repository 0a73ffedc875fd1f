//! What is known of a card beside its registers: its numbers, its BARs, how it interrupts; and what cannot be then.
use super::PciId;
use super::irq::{Irq, Recipe, Said};
use crate::registers::{Block, Register};
use anyhow::Result;
use kp_tool::Message;
use kp_tool::found::{Bar, BarKind, Found, Scan};
use std::{fs, path::Path};

/// A card that something has been found out of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// What messages call it.
    pub of: String,
    /// Vendor and device.
    pub id: PciId,
    /// All of it.
    pub found: Found,
}

/// How many vectors a card has of each kind of interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds {
    /// 1 if it has a line.
    pub line: u32,
    /// Of MSI.
    pub msi: u32,
    /// Of MSI-X.
    pub msi_x: u32,
}

impl Card {
    /// A device that has been found, if its numbers are two.
    pub fn new(of: &str, found: Found) -> Result<Self, Message> {
        let id = super::pci_id(&format!("{}:{}", found.vendor, found.device))?;
        Ok(Card { of: of.to_owned(), id, found })
    }

    /// The devices in a file that `kp scan --json` has written.
    pub fn devices_of(file: &str) -> Result<Vec<Found>, Message> {
        let text = fs::read_to_string(file)
            .map_err(|error| Message::NoScan { file: file.to_owned(), why: error.to_string() })?;
        match Scan::parse(&text) {
            Ok(scan) if scan.devices.is_empty() => {
                Err(Message::BadScan { file: file.to_owned(), why: "it has no device".to_owned() })
            }
            Ok(scan) => Ok(scan.devices),
            Err(why) => Err(Message::BadScan { file: file.to_owned(), why }),
        }
    }

    /// The card of `FILE` or `FILE#ADDRESS`, a file that `kp scan --json` has written.
    pub fn of_scan(said: &str) -> Result<Self, Message> {
        let (file, address) = match said.rsplit_once('#') {
            Some((file, address)) if !Path::new(said).exists() => (file, Some(address)),
            _ => (said, None),
        };
        match (address, Card::devices_of(file)?.as_slice()) {
            (Some(address), devices) => at(file, address, devices),
            (None, [found]) => Card::new(&found.address, found.clone()),
            (None, devices) => Err(Message::SeveralScanned { file: file.to_owned(), there: listed(devices) }),
        }
    }

    /// The card at an address of this machine, or of one whose files are below a folder.
    #[cfg(unix)]
    pub fn of_machine(address: &str, root: Option<&Path>) -> Result<Self, Message> {
        use kp_tool::machine::System;
        let machine = root.map_or_else(System::this, System::staged);
        at("this machine", address, &kp_tool::scan::scan(&machine))
    }

    /// There is no `/sys`.
    #[cfg(not(unix))]
    pub fn of_machine(_: &str, _: Option<&Path>) -> Result<Self, Message> {
        Err(Message::NoSysfs {})
    }

    /// Its kinds of interrupt. Where the kernel hides whether it sends messages, it is taken to.
    pub fn kinds(&self) -> Kinds {
        let Found { pin, msi, msi_x, .. } = &self.found;
        let unknown = u32::from(self.found.hides_messages());
        // A file may say more than there can be.
        Kinds {
            line: u32::from(pin.is_some()),
            msi: msi.unwrap_or(unknown).min(32),
            msi_x: msi_x.unwrap_or(0).min(2048),
        }
    }

    /// Whether it is known to have no interrupt.
    pub fn has_none(&self) -> bool {
        self.kinds() == Kinds { line: 0, msi: 0, msi_x: 0 }
    }

    /// Refuses registers where the card has no room for them.
    pub fn has_place_for(&self, blocks: &[Block]) -> Result<(), Message> {
        blocks.iter().try_for_each(|block| {
            let (file, number, of) = (block.file.clone(), block.bar.to_string(), self.of.clone());
            let Some(bar) = self.found.bars.iter().find(|bar| bar.number == block.bar) else {
                return Err(Message::NoSuchBar { file, bar: number, of, there: self.bars() });
            };
            let wide = block.registers.iter().find(|register| register.bits > 32 && bar.kind == BarKind::Ports);
            if let Some(register) = wide {
                let (place, name) = (format!("{file}:{}", register.line), register.name.clone());
                return Err(Message::WidePort { place, name, bar: number, of });
            }
            block.registers.iter().try_for_each(|register| ends_in(bar, block, register))
        })
    }

    /// Whether a BAR is known to be of ports.
    pub fn is_of_ports(&self, bar: usize) -> bool {
        self.found.bars.iter().any(|found| found.number == bar && found.kind == BarKind::Ports)
    }

    /// Refuses a way to acknowledge that the card has no interrupt for. One that was guessed is none then.
    pub fn interrupts_as<'a>(&self, said: &Said<'_>, irq: Option<Irq<'a>>) -> Result<Option<Irq<'a>>, Message> {
        let (Kinds { msi, msi_x, .. }, of) = (self.kinds(), self.of.clone());
        match (irq, said.flag()) {
            (Some(_), Some(flag)) if self.has_none() => Err(Message::NoInterrupt { flag: flag.to_owned(), of }),
            (Some(_), None) if self.has_none() => Ok(None),
            (Some(irq), _) if irq.recipe == Recipe::None && msi + msi_x == 0 => Err(Message::NoMessages { of }),
            (irq, _) => Ok(irq),
        }
    }

    /// Its BARs, for a person.
    fn bars(&self) -> String {
        let bars: Vec<String> = self.found.bars.iter().map(|bar| format!("BAR {} ({bar})", bar.number)).collect();
        if bars.is_empty() { "no BAR".to_owned() } else { bars.join(", ") }
    }

    /// BARs and interrupts in lines, without where it is.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.found.bars.iter().map(|bar| format!("BAR {}: {bar}", bar.number)).collect();
        let kinds = self.found.interrupts();
        match (kinds.is_empty(), self.found.hides_messages()) {
            (false, _) => lines.push(format!("interrupts: {}", kinds.join("; "))),
            (true, false) => lines.push("interrupts: none".to_owned()),
            (true, true) => {}
        }
        lines
    }
}

/// Refuses a register that ends behind its BAR.
fn ends_in(bar: &Bar, block: &Block, register: &Register) -> Result<(), Message> {
    if register.end() <= bar.len {
        return Ok(());
    }
    Err(Message::BeyondBar {
        place: format!("{}:{}", block.file, register.line),
        name: register.name.clone(),
        offset: format!("{:#x}", register.offset),
        bar: format!("BAR {} ({} bytes)", bar.number, bar.len),
    })
}

/// The one of these devices at an address.
fn at(of: &str, address: &str, devices: &[Found]) -> Result<Card, Message> {
    let whole = if address.matches(':').count() == 1 { format!("0000:{address}") } else { address.to_owned() };
    match devices.iter().find(|found| found.address == whole) {
        Some(found) => Card::new(&found.address, found.clone()),
        None => {
            let (of, address) = (of.to_owned(), address.to_owned());
            Err(Message::NotScanned { of, address, there: listed(devices) })
        }
    }
}

/// Devices, for a person.
fn listed(devices: &[Found]) -> String {
    let one = |found: &Found| format!("{} ({}:{})", found.address, found.vendor, found.device);
    match devices {
        [] => "none".to_owned(),
        devices => devices.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}
