//! A plugin for three devices of QEMU's: configuration space, resets and vectors of MSI-X. Of e1000e it is only configuration space, of which
//! that card has most; of virtio-rng also the reset; of rocker, a switch, the vectors, which it sends when it is told to.
//!
//! Sources: QEMU's specification of rocker, "Test Registers"; Virtual I/O Device (VIRTIO) 1.1, section 4.1.4.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use kp_core::{
    pci::{PowerState, capability, extended_capability},
    *,
};
use pcie_interface::{Facts, pcie};

registers! {
    /// Of the switch.
    mod switch[0x40] {
        /// A vector that is written here is sent.
        0x20 TEST_IRQ: u32, WO;
    }
    /// Of the source of random numbers: what all of its kind have in common.
    mod common[0x38] {
        0x12 QUEUES: u16, RO;
        0x14 STATUS: u8, RW { ACKNOWLEDGED = 0 };
    }
}

/// Of the switch, while it has no ports.
const VECTORS: u32 = 4;

/// A capability of the vendor's own says where some registers are: which, in which BAR, and where in it.
mod place {
    pub const KIND: u16 = 3;
    pub const COMMON: u8 = 1;
    pub const BAR: u16 = 4;
    pub const OFFSET: u16 = 8;
}

enum Registers {
    Net,
    Switch(Bar<switch::Map>),
    Random(Bar<common::Map>),
}

/// One device.
pub struct Card {
    registers: Registers,
    config: Config,
    vectors: Vectors,
    runs: [AtomicU32; VECTORS as usize],
    masks_in_dpc: AtomicBool,
}

impl Init for Card {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let (config, vectors) = (device.config()?, device.vectors()?);
        let registers = match config.read16(cx, 0)? {
            0x8086 => Registers::Net,
            0x1b36 => Registers::Switch(device.map(cx, 0)?),
            _ => {
                let (bar, offset) = common_registers(cx, &config)?;
                Registers::Random(device.map_at(cx, bar, offset)?)
            }
        };
        Ok(Card { registers, config, vectors, runs: Default::default(), masks_in_dpc: AtomicBool::new(false) })
    }
}

/// Where the registers are that all virtio devices have: BAR and offset.
fn common_registers(cx: &mut Passive, config: &Config) -> Result<(usize, usize)> {
    let mut list = config.capabilities();
    while let Some(found) = list.next(cx)? {
        let at = found.offset;
        if found.id == capability::VENDOR_SPECIFIC && config.read8(cx, at + place::KIND)? == place::COMMON {
            let bar = config.read8(cx, at + place::BAR)?;
            return Ok((bar.into(), config.read32(cx, at + place::OFFSET)? as usize));
        }
    }
    Err(Status::WRONG_DEVICE.into())
}

impl Card {
    fn switch(&self) -> Result<&Bar<switch::Map>> {
        if let Registers::Switch(switch) = &self.registers { Ok(switch) } else { Err(Status::WRONG_DEVICE.into()) }
    }
}

impl pcie::Handler<Passive> for Card {
    fn facts(&self, cx: &mut Passive, _: &()) -> Result<Facts> {
        let config = &self.config;
        let mut facts =
            Facts { capabilities: 0, extended: 0, express: 0, aer: 0, vectors: 0, table: 0, power: 0, link: [0; 4] };
        let mut list = config.capabilities();
        while list.next(cx)?.is_some() {
            facts.capabilities += 1;
        }
        let mut list = config.extended_capabilities();
        while list.next(cx)?.is_some() {
            facts.extended += 1;
        }
        facts.express = config.capability(cx, capability::PCI_EXPRESS)?.unwrap_or(0);
        facts.aer = config.extended_capability(cx, extended_capability::AER)?.unwrap_or(0);
        if let Some(msix) = config.msix(cx)? {
            (facts.vectors, facts.table) = (msix.vectors, msix.table.bar);
        }
        if let Some(link) = config.link(cx)? {
            facts.link = [link.current.speed, link.current.width, link.max.speed, link.max.width];
        }
        facts.power = match config.power(cx)? {
            PowerState::D0 => 0,
            PowerState::D1 => 1,
            PowerState::D2 => 2,
            PowerState::D3 => 3,
        };
        Ok(facts)
    }

    fn vpd(&self, cx: &mut Passive, _: &(), at: u16, len: u16, out: &mut Out<'_, '_, u8>) -> Result<()> {
        let mut bytes = [0; 64];
        let bytes = bytes.get_mut(..len.into()).ok_or(Status::BAD_VALUE)?;
        self.config.vpd(cx, at, bytes)?;
        out.extend(bytes)
    }

    fn reset(&self, cx: &mut Passive, _: &(), times: u32) -> Result<()> {
        let Registers::Random(common) = &self.registers else { return self.config.reset(cx) };
        for _ in 0..times {
            let queues = common.read(common::QUEUES);
            common.write(common::STATUS, common::STATUS::ACKNOWLEDGED.mask());
            if common.read(common::STATUS) == 0 || queues == u16::MAX {
                return Err(Error::plugin(1));
            }
            self.config.reset(cx)?;
            if (common.read(common::STATUS), common.read(common::QUEUES)) != (0, queues) {
                return Err(Error::plugin(2));
            }
        }
        Ok(())
    }

    fn mask(&self, cx: &mut Passive, _: &(), vector: u32, mask: bool) -> Result<()> {
        if mask { self.vectors.mask(cx, vector) } else { self.vectors.unmask(cx, vector) }
    }

    fn hint(&self, cx: &mut Passive, _: &(), vector: u32, processor: u32) -> Result<()> {
        self.vectors.hint(cx, vector, processor)
    }

    fn send(&self, _: &mut Passive, _: &(), vector: u32) -> Result<()> {
        if vector >= VECTORS {
            return Err(Status::BAD_VECTOR.into());
        }
        self.switch()?.write(switch::TEST_IRQ, vector);
        Ok(())
    }

    fn runs(&self, _: &mut Passive, _: &()) -> Result<[u32; 4]> {
        Ok(self.runs.each_ref().map(|runs| runs.load(Relaxed)))
    }

    fn mask_in_dpc(&self, _: &mut Passive, _: &(), on: bool) -> Result<()> {
        self.masks_in_dpc.store(on, Relaxed);
        Ok(())
    }
}

impl IntEnable for Card {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        self.runs.iter().for_each(|runs| runs.store(0, Relaxed));
        self.switch().map(|_| ())
    }
    // It sends what it is told to send, and nothing else.
    fn int_arm(&self, _: &mut Passive, _: &(), _: Granted) -> Result<()> {
        Ok(())
    }
    fn int_disarm(&self, _: &mut Passive, _: &()) {}
}

impl IntAtIrql for Card {
    fn int_at_irql(&self, _: &mut Irql, _: &(), source: Source) -> Verdict {
        if let Source::Message(n) = source
            && let Some(runs) = self.runs.get(usize::from(n))
        {
            runs.fetch_add(1, Relaxed);
        }
        Verdict::DEFER
    }
}

impl IntAtDpc for Card {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &(), source: Source, count: u32) -> u32 {
        if let (Source::Message(n), true) = (source, self.masks_in_dpc.load(Relaxed)) {
            let _ = self.vectors.mask(cx, n.into());
        }
        count
    }
}

plugin! { Card { name: "pcie", devices: [0x8086:0x10d3, 0x1b36:0x0006, 0x1af4:0x1044], vectors: 1..=4, interface: pcie, callbacks: [IntEnable, IntAtIrql, IntAtDpc] } }
