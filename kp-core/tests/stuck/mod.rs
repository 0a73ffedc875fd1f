//! A device with a line that never ends.
use kp_sim::device::{DeviceModel, Identity, IrqKind, Memory};

/// Its line is up, but for one look each time that its status was read so often; at last for good.
pub struct Stuck {
    each: u32,
    reads: u32,
}

/// So often its status is read.
const LAST: u32 = 450_000;

impl Stuck {
    /// One look of so many.
    pub fn each(each: u32) -> Self {
        Self { each, reads: 0 }
    }
}

impl DeviceModel for Stuck {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11e8 }
    }
    fn read(&mut self, _: usize, _: u64, _: u8, _: &mut dyn Memory) -> u64 {
        self.reads += 1;
        1
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        (kind == IrqKind::Line).into()
    }
    fn line(&mut self) -> bool {
        let up = self.reads < LAST && (self.reads == 0 || !self.reads.is_multiple_of(self.each));
        self.reads += u32::from(self.reads < LAST && !up);
        up
    }
}
