//! A card's self test, which its maker has in C. The card is QEMU's edu.
#![no_std]
#![forbid(unsafe_code)]

use kp_core::*;
pub use selftest_interface::{Outcome, selftest};

registers! {
    /// BAR 0. Source: QEMU's documentation, docs/specs/edu.
    pub mod regs[0x68] {
        /// Reads back the inverse of what was written.
        0x04 LIVENESS: u32, RW;
        /// Write n; read n! when STATUS no longer says COMPUTING.
        0x08 FACTORIAL: u32, RW;
        /// What the device does.
        0x20 STATUS: u32, RO { COMPUTING = 0 };
        /// Bits that raised the interrupt.
        0x24 INTERRUPT_STATUS: u32, RO;
        /// Raises the interrupt with these bits.
        0x60 INTERRUPT_RAISE: u32, WO;
        /// Clears these bits. Needed with MSI too.
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
    }
}

/// One card.
pub struct Selftest {
    card: Card,
    /// One test at a time.
    running: Mutex<()>,
}

/// The registers that the C code may touch: it has their numbers, and no pointer to them.
struct Card(Bar<regs::Map>);

impl selftest_c::Card for Card {
    fn read(&self, offset: u32) -> u32 {
        match offset {
            0x04 => self.0.read(regs::LIVENESS),
            0x08 => self.0.read(regs::FACTORIAL),
            0x20 => self.0.read(regs::STATUS),
            _ => u32::MAX, // as a bus answers where nothing is
        }
    }

    fn write(&self, offset: u32, value: u32) {
        match offset {
            0x04 => self.0.write(regs::LIVENESS, value),
            0x08 => self.0.write(regs::FACTORIAL, value),
            _ => {}
        }
    }
}

impl Init for Selftest {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Selftest { card: Card(device.map(cx, 0)?), running: Mutex::new(cx, ())? })
    }
}

impl selftest::Handler<Passive> for Selftest {
    fn run(&self, cx: &mut Passive, _: &()) -> Result<Outcome> {
        self.running.with(cx, |(), cx| {
            let (end, report) = selftest_c::run(cx, &self.card)?;
            let selftest_c::Report { steps, expected, found, crc } = report;
            let end = match end {
                selftest_c::End::Passed => 0,
                selftest_c::End::Failed => 1,
                selftest_c::End::Late => 2,
            };
            Ok(Outcome { end, steps, expected, found, crc })
        })
    }

    fn raise(&self, _: &mut Passive, _: &(), bits: u32) -> Result<()> {
        if bits == 0 {
            return Err(Status::BAD_VALUE.into());
        }
        self.card.0.write(regs::INTERRUPT_RAISE, bits);
        Ok(())
    }
}

impl IntEnable for Selftest {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        self.card.0.write(regs::INTERRUPT_ACKNOWLEDGE, !0); // what an earlier owner left
        Ok(())
    }

    fn int_disarm(&self, _: &mut Passive, _: &()) {
        self.card.0.write(regs::INTERRUPT_ACKNOWLEDGE, !0);
    }
}

impl IntAtIrql for Selftest {
    fn int_at_irql(&self, cx: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.card.0.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.card.0.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        // The app is woken for a self test's causes alone, and C knows which those are.
        if selftest_c::causes(cx, bits) == 0 { Verdict::DONE } else { Verdict::DEFER }
    }
}

plugin! {
    Selftest {
        name: "selftest",
        devices: [0x1234:0x11e8],
        interface: selftest,
        callbacks: [IntEnable, IntAtIrql],
    }
}
