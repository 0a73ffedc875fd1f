//! A plugin for QEMU's pci-testdev: ports, and memory at offsets that the device says.
//!
//! Source of the layout: QEMU's page "QEMU pci test device".
#![no_std]
#![forbid(unsafe_code)]

use kp_core::*;
use testdev_interface::{Selected, testdev};

registers! {
    /// All of the ports; the tests write to one of them.
    mod ports[0x100] {
        0x00 TEST: u8, RW;
        0x01 WIDTH: u8, RO;
        0x04 OFFSET: u32, RO;
        0x08 DATA: u8, RO;
        0x0C COUNT: u32, RO;
        0x10 NAME: [u8; 22], RO;
        0x26 BEHIND: [u8; 0xDA], WO;
    }
}

/// The head, as in ports.
mod head {
    pub const TEST: usize = 0x00;
    pub const WIDTH: usize = 0x01;
    pub const OFFSET: usize = 0x04;
    pub const DATA: usize = 0x08;
    pub const COUNT: usize = 0x0C;
    pub const NAME: usize = 0x10;
}

/// One device.
pub struct TestDevice {
    ports: Bar<ports::Map, Ports>,
    memory: Window,
    /// Held while a test is selected.
    selected: Mutex<()>,
}

impl Init for TestDevice {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let memory = 0..device.bar_len(0).ok_or(Status::WRONG_DEVICE)?;
        Ok(TestDevice {
            ports: device.map_ports(cx, 1)?,
            memory: device.window(cx, 0, memory, Caching::Uncached)?,
            selected: Mutex::new(cx, ())?,
        })
    }
}

impl TestDevice {
    fn ports_now(&self) -> Result<Selected> {
        let mut name = [0; 22];
        self.ports.regs().read_array(ports::NAME, 0, &mut name)?;
        Ok(Selected {
            offset: self.ports.read(ports::OFFSET),
            count: self.ports.read(ports::COUNT),
            data: self.ports.read(ports::DATA),
            width: self.ports.read(ports::WIDTH),
            name,
        })
    }

    fn memory_now(&self) -> Result<Selected> {
        let mut name = [0; 22];
        self.memory.read(head::NAME, &mut name)?;
        Ok(Selected {
            offset: self.memory.load(head::OFFSET)?,
            count: self.memory.load(head::COUNT)?,
            data: self.memory.load(head::DATA)?,
            width: self.memory.load(head::WIDTH)?,
            name,
        })
    }
}

impl testdev::Handler<Passive> for TestDevice {
    fn by_ports(&self, cx: &mut Passive, _: &(), test: u8, times: u32) -> Result<Selected> {
        self.selected.with(cx, |(), _| {
            self.ports.write(ports::TEST, test);
            let Selected { offset, data, .. } = self.ports_now()?;
            let behind = (offset as usize).checked_sub(0x26).ok_or(Status::WRONG_DEVICE)?;
            let place = self.ports.regs().item(ports::BEHIND, behind)?;
            (0..times).for_each(|_| place.write(data));
            self.ports_now()
        })
    }

    fn by_memory(&self, cx: &mut Passive, _: &(), test: u8, times: u32) -> Result<Selected> {
        self.selected.with(cx, |(), _| {
            self.memory.store(head::TEST, test)?;
            let Selected { offset, data, .. } = self.memory_now()?;
            (0..times).try_for_each(|_| self.memory.store(offset as usize, data))?;
            self.memory_now()
        })
    }
}

plugin! { TestDevice { name: "testdev", devices: [0x1b36:0x0005], interface: testdev, callbacks: [] } }
