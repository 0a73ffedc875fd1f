//! A configuration space for device models: bytes, lists of capabilities, and what vital product data and a function level reset do.
use std::ops::Range;

/// Bytes of configuration space.
const SIZE: usize = 0x1000;
// The header, as the PCI Local Bus Specification 3.0 has it in section 6.1.
const STATUS: usize = 0x06;
const HAS_CAPABILITIES: u8 = 1 << 4;
const FIRST_CAPABILITY: usize = 0x34;
const EXTENDED: usize = 0x100;
// Its appendix I.
const VPD: u8 = 0x03;
const VPD_FLAG: u8 = 1 << 7;
// PCI Express Base Specification 5.0, section 7.5.3.
const PCI_EXPRESS: u8 = 0x10;
const DEVICE_CAPABILITIES: usize = 0x04;
const CAN_RESET: u8 = 1 << 4;
const DEVICE_CONTROL: usize = 0x08;
const RESET: u8 = 1 << 7;

/// A device's configuration space, for a [`DeviceModel`](crate::device::DeviceModel) to answer from: all of it, which reads as zeros where nothing
/// was given; or some, for instance from 0x04 on, so that the host says who the device is. The status at 0x06, and 0x34, have to be among
/// it for the capabilities to be found. Each byte is read as it was written, but for these.
///
/// - Of a capability VPD the address register reads [what was given](Self::vpd), at once.
/// - A capability PCI Express that says so resets itself by its Device Control: [`take_reset`](Self::take_reset).
///
/// ```
/// use kp_sim::ConfigSpace;
/// let mut space = ConfigSpace::new().capability(0x40, 0x09, &[4, 7]).capability(0x50, 0x09, &[4, 8]);
/// assert_eq!((space.read(0x34, 1), space.read(0x40, 4), space.read(0x50, 4)), (0x40, 0x0704_5009, 0x0804_0009));
/// ```
#[derive(Clone)]
pub struct ConfigSpace {
    bytes: Vec<u8>,
    /// As it is after power-on.
    initial: Vec<u8>,
    /// Where the pointer of the last capability is.
    last: usize,
    last_extended: Option<usize>,
    vpd: Option<(usize, Vec<u8>)>,
    express: Option<usize>,
    was_reset: bool,
}

impl Default for ConfigSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl ConfigSpace {
    /// Without capabilities, and of zeros.
    pub fn new() -> Self {
        let (bytes, initial) = (vec![0; SIZE], vec![0; SIZE]);
        Self { bytes, initial, last: FIRST_CAPABILITY, last_extended: None, vpd: None, express: None, was_reset: false }
    }

    /// One capability more, with these bytes behind its header of two. They come in the list as they are added.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn capability(mut self, at: u8, id: u8, body: &[u8]) -> Self {
        let offset = usize::from(at);
        let (status, last) = (self.initial[STATUS] | HAS_CAPABILITIES, self.last);
        self = self.with(STATUS, &[status]).with(last, &[at]);
        self.last = offset + 1;
        if id == PCI_EXPRESS {
            self.express = Some(offset);
        }
        self.with(offset, &[id, 0]).with(offset + 2, body)
    }

    /// One extended capability more, with these bytes behind its header of four. The first one's offset is 0x100.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn extended(mut self, at: u16, id: u16, version: u8, body: &[u8]) -> Self {
        let offset = usize::from(at);
        if let Some(last) = self.last_extended {
            let high = u16::from_le_bytes([self.initial[last + 2], self.initial[last + 3]]) & 0xF;
            self = self.with(last + 2, &(at << 4 | high).to_le_bytes());
        }
        assert!(self.last_extended.is_some() || offset == EXTENDED, "the first extended capability is at 0x100");
        self.last_extended = Some(offset);
        self.with(offset, &id.to_le_bytes()).with(offset + 2, &[version, 0]).with(offset + 4, body)
    }

    /// A capability VPD, which reads these bytes; zeros behind them.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn vpd(mut self, at: u8, data: &[u8]) -> Self {
        self.vpd = Some((at.into(), data.to_vec()));
        self.capability(at, VPD, &[0; 6])
    }

    /// These bytes from an offset on, after power-on and now. What a device says that lies, too.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        for space in [&mut self.initial, &mut self.bytes] {
            space[at..at + bytes.len()].copy_from_slice(bytes);
        }
        self
    }

    /// Reads `width` bytes, 1, 2 or 4; all ones behind the end.
    pub fn read(&self, offset: u16, width: u8) -> u32 {
        let bytes = self.bytes.get(range(offset, width));
        bytes.map_or(u32::MAX, |bytes| bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// Writes the low `width` bytes of `value`, 1, 2 or 4.
    pub fn write(&mut self, offset: u16, width: u8, value: u32) {
        let range = range(offset, width);
        let Some(bytes) = self.bytes.get_mut(range.clone()) else { return };
        bytes.copy_from_slice(&value.to_le_bytes()[..width.into()]);
        self.vital_data(&range);
        self.function_level_reset(&range);
    }

    /// An address was written: the data is what is there.
    fn vital_data(&mut self, written: &Range<usize>) {
        let Some((at, data)) = &self.vpd else { return };
        let [low, high] = [at + 2, at + 3];
        if written.contains(&high) && self.bytes[high] & VPD_FLAG == 0 {
            let from = usize::from(u16::from_le_bytes([self.bytes[low], self.bytes[high]]));
            let mut word = [0; 4];
            word.iter_mut().zip(data.iter().skip(from)).for_each(|(to, byte)| *to = *byte);
            self.bytes[at + 4..at + 8].copy_from_slice(&word);
            self.bytes[high] |= VPD_FLAG;
        }
    }

    /// Device Control was written.
    fn function_level_reset(&mut self, written: &Range<usize>) {
        let Some(at) = self.express else { return };
        let high = at + DEVICE_CONTROL + 1;
        if written.contains(&high) && self.bytes[high] & RESET != 0 {
            self.bytes[high] &= !RESET;
            if self.bytes[at + DEVICE_CAPABILITIES + 3] & CAN_RESET != 0 {
                self.bytes.copy_from_slice(&self.initial);
                self.was_reset = true;
            }
        }
    }

    /// Was there a function level reset since this was asked last? What the model itself forgets is its own.
    pub fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.was_reset)
    }
}

/// The bytes of an access.
fn range(offset: u16, width: u8) -> Range<usize> {
    usize::from(offset)..usize::from(offset) + usize::from(width)
}
