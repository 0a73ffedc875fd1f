//! Vital product data: what the vendor has written of this very device, its serial number for one.
use super::{capability, registers::Registers};
use crate::{Config, Passive, Result, Status, host::ConfigWidth};

// PCI Local Bus Specification 3.0, appendix I.
/// Address, 16 bits.
const ADDRESS: u16 = 0x02;
/// Bit of the address: what was written into the data is stored, or what was asked for is there.
const FLAG: u16 = 1 << 15;
/// Data, 32 bits.
const DATA: u16 = 0x04;
/// Bytes that can be addressed.
const SIZE: usize = 1 << 15;
/// How long the device may take for 4 bytes, in ms.
const PATIENCE: u32 = 125;

impl Config {
    /// Reads vital product data from byte `at` on, all of `into`. The format is a list of resources that ends with 0x78; what is behind that is
    /// not to be read, for some devices answer no more after it. Passive; may sleep up to 125 ms for each 4 bytes.
    ///
    /// Errors: `WRONG_DEVICE` without this capability; `BAD_VALUE` behind 32 KiB; `TIMEOUT` if the device does not answer; else as
    /// [`Passive::sleep_ms`].
    pub fn vpd(&self, cx: &mut Passive, at: u16, into: &mut [u8]) -> Result<()> {
        let mut at = usize::from(at);
        if at.checked_add(into.len()).is_none_or(|end| end > SIZE) {
            return Err(Status::BAD_VALUE.into());
        }
        let capability = self.capability(cx, capability::VPD)?.ok_or(Status::WRONG_DEVICE)?;
        let mut rest = into;
        while !rest.is_empty() {
            let skip = at % 4;
            // Each word by itself: removal does not wait for all of them.
            let word =
                self.locked(cx, |cx, registers| registers.vpd(cx, capability, (at - skip) as u16))?.to_le_bytes();
            let len = rest.len().min(4 - skip);
            let (now, later) = rest.split_at_mut(len);
            now.iter_mut().zip(word.iter().skip(skip)).for_each(|(byte, read)| *byte = *read);
            (rest, at) = (later, at + len);
        }
        Ok(())
    }
}

impl Registers {
    /// The 4 bytes at `at`.
    #[cfg_attr(kp_driver, optimize(size))]
    fn vpd(self, cx: &mut Passive, capability: u16, at: u16) -> Result<u32> {
        self.write(capability + ADDRESS, ConfigWidth::Word, at.into());
        cx.poll(PATIENCE, |_| {
            let address = self.read16(capability + ADDRESS);
            address & FLAG != 0 && address != u16::MAX // else nothing answers
        })?;
        Ok(self.read32(capability + DATA))
    }
}
