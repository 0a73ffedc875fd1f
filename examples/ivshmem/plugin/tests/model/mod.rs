//! A model of ivshmem-doorbell that is its own only peer.
use kp_sim::device::{DeviceModel, Identity, IrqKind, Memory};
use std::collections::VecDeque;

/// Its number among its peers.
pub const POSITION: u64 = 1;

/// The device: whatever is written to its doorbell is sent back as a message.
#[derive(Default)]
pub struct Model {
    vectors: u16,
    sent: VecDeque<u16>,
}

impl Model {
    /// A device after power-on.
    pub fn new() -> Self {
        Self::default()
    }
}

impl DeviceModel for Model {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1af4, device: 0x1110 }
    }

    fn bar_len(&self, bar: usize) -> Option<u64> {
        (bar == 0).then_some(0x100)
    }

    fn read(&mut self, _: usize, offset: u64, _: u8, _: &mut dyn Memory) -> u64 {
        if offset == 8 { POSITION } else { 0 }
    }

    fn write(&mut self, _: usize, offset: u64, _: u8, value: u64, _: &mut dyn Memory) {
        let (peer, vector) = (value >> 16, value as u16);
        if offset == 0xc && peer == POSITION && vector < self.vectors {
            self.sent.push_back(vector);
        }
    }

    fn vectors(&self, kind: IrqKind) -> u16 {
        if kind == IrqKind::MsiX { 8 } else { 0 }
    }

    fn select(&mut self, kind: Option<IrqKind>, count: u16) {
        self.vectors = if kind == Some(IrqKind::MsiX) { count } else { 0 };
    }

    fn take_message(&mut self) -> Option<u16> {
        self.sent.pop_front()
    }
}
