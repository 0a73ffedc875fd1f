//! A device's PCI command register, through sysfs.
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
};

/// Where it is, in configuration space.
const COMMAND: u64 = 4;
/// Its bit: the device may write by itself.
const BUS_MASTER: u16 = 0x4;

/// The register of the device at this address.
pub struct CommandRegister(File);

impl CommandRegister {
    pub fn of(address: &str) -> Self {
        let path = format!("/sys/bus/pci/devices/{address}/config");
        let file = OpenOptions::new().read(true).write(true).open(&path);
        Self(file.unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    pub fn is_master(&self) -> bool {
        self.read() & BUS_MASTER != 0
    }

    pub fn make_master(&self) {
        let word = self.read() | BUS_MASTER;
        self.0.write_all_at(&word.to_le_bytes(), COMMAND).expect("configuration space can be written");
    }

    fn read(&self) -> u16 {
        let mut word = [0; 2];
        self.0.read_exact_at(&mut word, COMMAND).expect("configuration space can be read");
        u16::from_le_bytes(word)
    }
}
