//! Function level reset, by configuration space alone. PCI Express Base Specification 5.0, section 6.6.2.
//!
//! Whoever has a device may reset it so, while no interrupt is enabled: what the kernel has written of it in configuration space is
//! read before and written back, as far as the reset has changed it; what it has written elsewhere the port has it write again.
use super::{
    capability,
    described::{EXPRESS_FLAGS, MSIX_CONTROL, POWER_CONTROL, has_link},
    extended_capability,
    registers::{BUS_MASTER, COMMAND, Registers, VENDOR},
    transfers::end_transfers,
};
use crate::{
    Config, KVec, Passive, Result, Status,
    host::{
        ConfigWidth::{self, Byte, Dword, Word},
        kernel,
    },
};

// PCI Express Base Specification 5.0, section 7.5.3.
/// Device Capabilities, 32 bits.
const DEVICE_CAPABILITIES: u16 = 0x04;
/// Bit of them: the function can be reset by itself.
const CAN_RESET: u32 = 1 << 28;
/// Device Control, 16 bits.
const DEVICE_CONTROL: u16 = 0x08;
/// Bit of it: the reset. Reads as 0.
const RESET: u16 = 1 << 15;
/// Link Control, 16 bits.
const LINK_CONTROL: u16 = 0x10;
/// Device Control 2 and Link Control 2, 16 bits each, from the second version of the capability on.
const DEVICE_CONTROL_2: u16 = 0x28;
const LINK_CONTROL_2: u16 = 0x30;
const VERSION: u16 = 0xF;

/// How long requests may be without an answer, in ms. Those that have none then are the device's end of them: the reset is due all the same.
const PENDING_MS: u32 = 1000;
/// How long a function may be left alone after its reset is begun, in ms.
const RESET_MS: u32 = 100;
/// How long it may go on taking until it answers, in ms.
const ANSWER_MS: u32 = 1000;
/// What the vendor reads as while it does not: nothing answers, or it asks to be asked again.
const NO_VENDOR: [u16; 2] = [0xFFFF, 0x0001];

/// What the kernel writes of the header, but for the command register. PCI Local Bus Specification 3.0, section 6.1.
const OF_HEADER: [(u16, ConfigWidth); 10] = [
    (0x0C, Byte), // cache line size
    (0x0D, Byte), // latency timer
    (0x10, Dword),
    (0x14, Dword),
    (0x18, Dword),
    (0x1C, Dword),
    (0x20, Dword),
    (0x24, Dword),
    (0x30, Dword), // ROM
    (0x3C, Byte),  // interrupt line
];

/// Controls of capabilities: id, offset behind the header. The table of MSI-X is in a BAR, and the port's.
const OF_CAPABILITIES: [(u8, u16); 4] = [
    (capability::POWER_MANAGEMENT, POWER_CONTROL),
    (capability::PCI_X, 0x02),
    (capability::MSI, MSI_CONTROL),
    (capability::MSI_X, MSIX_CONTROL),
];

// PCI Local Bus Specification 3.0, section 6.8.1: MSI.
/// Message Control, 16 bits.
const MSI_CONTROL: u16 = 0x02;
/// Bits of it: the address has 64 bits; each vector has a mask.
const MSI_IS_WIDE: u16 = 1 << 7;
const MSI_HAS_MASKS: u16 = 1 << 8;

/// Where the message is that the kernel has written, and the masks, if there are any: offsets behind the header. Some kernels write it once, as the
/// device starts, and leave it enabled while nobody listens.
const MSI_MESSAGE: [(u16, ConfigWidth); 3] = [(0x04, Dword), (0x08, Word), (0x0C, Dword)];
const MSI_WIDE_MESSAGE: [(u16, ConfigWidth); 4] = [(0x04, Dword), (0x08, Dword), (0x0C, Word), (0x10, Dword)];

/// Controls of extended capabilities: id, offset behind the header, width. In this order they may be written: address translation is on when
/// what it goes by is there.
const OF_EXTENDED: [(u16, u16, ConfigWidth); 11] = [
    (extended_capability::ACS, 0x06, Word),
    (extended_capability::ARI, 0x06, Word),
    (extended_capability::LTR, 0x04, Dword),
    (extended_capability::PTM, 0x08, Dword),
    (extended_capability::L1_PM_SUBSTATES, 0x0C, Dword),
    (extended_capability::L1_PM_SUBSTATES, 0x08, Dword),
    (extended_capability::TPH_REQUESTER, 0x08, Dword),
    (extended_capability::PASID, 0x06, Word),
    (extended_capability::PAGE_REQUEST, 0x0C, Dword),
    (extended_capability::PAGE_REQUEST, 0x04, Word),
    (extended_capability::ATS, 0x06, Word),
];

/// Resizable BAR: control of the first of them, 32 bits, the others 8 bytes apart; in the first one how many there are.
const BAR_SIZE_CONTROL: u16 = 0x08;
const BAR_SIZE_COUNT_SHIFT: u32 = 5;

/// A register, and what it had in it.
struct Saved {
    offset: u16,
    width: ConfigWidth,
    value: u32,
}

/// What a reset makes a device forget, in the order in which it is written back.
struct State(KVec<Saved>);

impl State {
    /// Reads it. `express` is where the capability PCI Express is. Errors: `NO_MEMORY`.
    #[cfg_attr(kp_driver, optimize(size))]
    fn save(cx: &mut Passive, registers: Registers, express: u16) -> Result<Self> {
        let mut state = Self(KVec::with_capacity(cx, 52)?);
        let flags = registers.read16(express + EXPRESS_FLAGS);
        state.add(cx, registers, express + DEVICE_CONTROL, Word)?;
        if has_link(flags) {
            state.add(cx, registers, express + LINK_CONTROL, Word)?;
        }
        if flags & VERSION >= 2 {
            state.add(cx, registers, express + DEVICE_CONTROL_2, Word)?;
            state.add(cx, registers, express + LINK_CONTROL_2, Word)?;
        }
        for (id, offset, width) in OF_EXTENDED {
            if let Some(at) = registers.extended_capability(id) {
                state.add(cx, registers, at + offset, width)?;
            }
        }
        if let Some(at) = registers.extended_capability(extended_capability::RESIZABLE_BAR) {
            let count = registers.read32(at + BAR_SIZE_CONTROL) >> BAR_SIZE_COUNT_SHIFT & 7;
            for bar in 0..count as u16 {
                state.add(cx, registers, at + BAR_SIZE_CONTROL + 8 * bar, Dword)?;
            }
        }
        for (offset, width) in OF_HEADER {
            state.add(cx, registers, offset, width)?;
        }
        if let Some(at) = registers.capability(capability::MSI) {
            let control = registers.read16(at + MSI_CONTROL);
            let message: &[_] = if control & MSI_IS_WIDE != 0 { &MSI_WIDE_MESSAGE } else { &MSI_MESSAGE };
            let masks = usize::from(control & MSI_HAS_MASKS == 0);
            for &(offset, width) in &message[..message.len() - masks] {
                state.add(cx, registers, at + offset, width)?;
            }
        }
        for (id, offset) in OF_CAPABILITIES {
            if let Some(at) = registers.capability(id) {
                state.add(cx, registers, at + offset, Word)?;
            }
        }
        state.add(cx, registers, COMMAND, Word)?; // last: now the BARs are decoded
        Ok(state)
    }

    #[cfg_attr(kp_driver, optimize(size))]
    fn add(&mut self, cx: &mut Passive, registers: Registers, offset: u16, width: ConfigWidth) -> Result<()> {
        self.0.push(cx, Saved { offset, width, value: registers.read(offset, width) })
    }

    /// Writes back what has changed: what a reset leaves alone, this does too.
    #[cfg_attr(kp_driver, optimize(size))]
    fn restore(&self, registers: Registers) {
        for &Saved { offset, width, value } in self.0.iter() {
            if registers.read(offset, width) != value {
                registers.write(offset, width, value);
            }
        }
    }
}

impl Config {
    /// Resets the device by a function level reset: it stops all that it does, and has its registers as after power-on, but for configuration
    /// space, which is as before. What is mapped of its BARs stays so. What was dropped as an [`OnDevice`](crate::OnDevice) is freed, for the device
    /// knows no address any more. Passive; takes 100 ms, and up to 2 s if the device is slow; nothing ends
    /// it early, and a removal waits for it.
    ///
    /// It is the plugin's own: `event` is not called, and it is not counted. Registers in the BARs are not to be accessed meanwhile: keep
    /// other calls from that, with a [`Mutex`](crate::Mutex) for instance.
    ///
    /// An interrupt of the plugin's own is disabled before, by all its steps, and enabled again afterwards; so no lock is to be held that its
    /// callbacks take.
    ///
    /// Errors: `WRONG_DEVICE` if the device has no function level reset, or the kernel could not give it its messages back afterwards; `BUSY` while
    /// an app has the interrupt enabled, in the callbacks of one of the plugin's own, or while another thread has that off; `NO_MEMORY`; `TIMEOUT` if
    /// the device does not answer afterwards: it does not decode its BARs then, and an interrupt of the plugin's own stays off. After any other error
    /// of these nothing has changed. An interrupt of the plugin's own that cannot be enabled again is the error of that step; the next reset tries
    /// again.
    pub fn reset(&self, cx: &mut Passive) -> Result<()> {
        self.link.while_off(cx, &mut |cx| match self.reset_now(cx) {
            // Nothing answers there.
            Err(error) if error == Status::TIMEOUT || error == Status::DEVICE_GONE => Err(error),
            done => Ok(done),
        })
    }

    #[cfg_attr(kp_driver, optimize(size))]
    fn reset_now(&self, cx: &mut Passive) -> Result<()> {
        self.locked(cx, |cx, registers| {
            // Under the link's lock: whoever enables an interrupt takes it first.
            if self.link.masks().is_enabled(cx) {
                return Err(Status::BUSY.into());
            }
            cx.undisturbed(|cx| reset(cx, registers))?;
            // The device knows no bus address any more.
            self.link.free_kept();
            Ok(())
        })
    }
}

#[cfg_attr(kp_driver, optimize(size))]
fn reset(cx: &mut Passive, registers: Registers) -> Result<()> {
    let express = registers.capability(capability::PCI_EXPRESS).ok_or(Status::WRONG_DEVICE)?;
    if registers.read32(express + DEVICE_CAPABILITIES) & CAN_RESET == 0 {
        return Err(Status::WRONG_DEVICE.into());
    }
    let state = State::save(cx, registers, express)?;
    if !kernel::reset_begins(registers.0) {
        return Err(Status::WRONG_DEVICE.into());
    }
    registers.write16(COMMAND, registers.read16(COMMAND) & !BUS_MASTER);
    end_transfers(registers.0, PENDING_MS);
    registers.write16(express + DEVICE_CONTROL, registers.read16(express + DEVICE_CONTROL) | RESET);
    cx.sleep_ms(RESET_MS)?;
    cx.poll(ANSWER_MS, |_| !NO_VENDOR.contains(&registers.read16(VENDOR)))?;
    state.restore(registers);
    kernel::reset_ended(registers.0);
    Ok(())
}
