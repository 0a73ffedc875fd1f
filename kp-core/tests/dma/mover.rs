//! A card that moves bytes between its own memory and the machine's, and plugins for it.
use kp_core::registers;
use kp_sim::device::{DeviceModel, Identity, Memory};

registers! {
    pub mod regs[0x20] {
        /// Where in the machine's memory.
        0x00 ADDRESS: u64, RW;
        /// How much, in bytes, and where in the card's own.
        0x08 LEN: u32, RW;
        0x0C INSIDE: u32, RW;
        /// 1: reads the machine's memory; 2: writes it; 0: idle.
        0x10 COMMAND: u32, RW;
    }
    /// A page that card and plugin share.
    pub mod page[0x1000] {
        0x00 WORD: u32, RW;
        0x08 LONG: u64, RW;
        0x10 BYTES: [u8; 16], RW;
    }
}

pub const LOAD: u32 = 1;
pub const STORE: u32 = 2;

/// The card. A transfer takes a microsecond, and happens only with bus mastering on.
pub struct Mover {
    pub memory: Vec<u8>,
    pub is_master: bool,
    /// Does transfers never end?
    pub hangs: bool,
    address: u64,
    len: u32,
    inside: u32,
    command: u32,
    ns_left: u64,
}

impl Default for Mover {
    fn default() -> Self {
        Self {
            memory: vec![0; 1 << 16],
            is_master: false,
            hangs: false,
            address: 0,
            len: 0,
            inside: 0,
            command: 0,
            ns_left: 0,
        }
    }
}

impl Mover {
    /// One whose transfers never end.
    pub fn hanging() -> Self {
        Self { hangs: true, ..Self::default() }
    }

    /// One that transfers without having been allowed to.
    pub fn heedless() -> Self {
        Self { is_master: true, ..Self::default() }
    }

    /// Does what it was told, if it may.
    pub fn finish(&mut self, ram: &mut dyn Memory) {
        let at = self.inside as usize;
        let bytes = &mut self.memory[at..at + self.len as usize];
        if self.is_master {
            match self.command {
                LOAD => _ = ram.read(self.address, bytes),
                STORE => _ = ram.write(self.address, bytes),
                _ => {}
            }
        }
        self.command = 0;
    }
}

impl DeviceModel for Mover {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x5678 }
    }
    fn read(&mut self, _: usize, offset: u64, _: u8, _: &mut dyn Memory) -> u64 {
        if offset == 0x10 { self.command.into() } else { u64::MAX }
    }
    fn write(&mut self, _: usize, offset: u64, _: u8, value: u64, _: &mut dyn Memory) {
        match offset {
            0x00 => self.address = value,
            0x08 => self.len = value as u32,
            0x0C => self.inside = value as u32,
            0x10 => (self.command, self.ns_left) = (value as u32, 1000),
            _ => {}
        }
    }
    fn bus_master(&mut self, on: bool) {
        self.is_master = on;
    }
    fn advance(&mut self, ns: u64, ram: &mut dyn Memory) {
        self.ns_left = self.ns_left.saturating_sub(ns);
        if self.command != 0 && self.ns_left == 0 && !self.hangs {
            self.finish(ram);
        }
    }
}

/// A plugin whose `init` does this with the device, and keeps what that answers.
macro_rules! plugin_of {
    ($name:ident: $kept:ty, |$cx:ident, $device:ident| $init:expr) => {
        mod $name {
            use super::*;
            pub struct Story(#[allow(dead_code, reason = "kept to be dropped")] $kept);
            impl Init for Story {
                type Session = ();
                type Interrupt = ();
                fn init($cx: &mut Passive, mut $device: Device) -> Result<Self> {
                    Ok(Story($init))
                }
            }
            plugin! { Story { name: "story", devices: [0x1234:0x5678], callbacks: [] } }
        }
    };
}
pub(crate) use plugin_of;

/// Has the card transfer, and waits for it.
pub fn run(
    cx: &mut kp_core::Passive,
    bar: &kp_core::Bar<regs::Map>,
    command: u32,
    at: kp_core::BusAddress,
    len: u32,
    inside: u32,
) -> kp_core::Result<()> {
    bar.write(regs::ADDRESS, at.raw());
    bar.write(regs::LEN, len);
    bar.write(regs::INSIDE, inside);
    bar.write(regs::COMMAND, command);
    cx.poll(100, |_| bar.read(regs::COMMAND) == 0)
}
