//! QEMU's educational PCI device: it computes factorials, and interrupts when it is told to.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
pub use edu_interface::{Identity, Version, edu};
use kp_core::*;

registers! {
    /// BAR 0. Source: QEMU's documentation, docs/specs/edu.
    pub mod regs[0x68] {
        /// Identification, 0xRRrr00ED.
        0x00 ID: u32, RO { MINOR = 16..=23, MAJOR = 24..=31 };
        /// Reads back the inverse of what was written.
        0x04 LIVENESS: u32, RW;
        /// Write n; read n! when STATUS no longer says COMPUTING.
        0x08 FACTORIAL: u32, RW;
        /// What the device does.
        0x20 STATUS: u32, RW { COMPUTING = 0, INTERRUPT_WHEN_DONE = 7 };
        /// Bits that raised the interrupt.
        0x24 INTERRUPT_STATUS: u32, RO;
        /// Raises the interrupt with these bits.
        0x60 INTERRUPT_RAISE: u32, WO;
        /// Clears these bits. Needed with MSI too.
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
    }
}

/// Low half of the identification.
const MAGIC: u32 = 0x00ED;

/// One device.
pub struct Edu {
    bar: Bar<regs::Map>,
    /// Held from the write of n until n! is read.
    factorial: Mutex<()>,
    defer_every: AtomicU32,
}

/// One enabling of the interrupt.
pub struct Enabled {
    defer_every: u32,
    seen: AtomicU32,
}

impl Init for Edu {
    type Session = ();
    type Interrupt = Enabled;
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = device.map::<regs::Map>(cx, 0)?;
        if bar.read(regs::ID) & 0xFFFF != MAGIC {
            return Err(Status::WRONG_DEVICE.into());
        }
        Ok(Edu { bar, factorial: Mutex::new(cx, ())?, defer_every: AtomicU32::new(5) })
    }
}

impl edu::Handler<Passive> for Edu {
    fn version(&self, _: &mut Passive, _: &()) -> Result<Version> {
        Ok(Version { number: 100, name: *b"kp edu\0\0\0\0\0\0\0\0\0\0\0\0\0\0" })
    }

    fn identity(&self, _: &mut Passive, _: &()) -> Result<Identity> {
        let id = self.bar.read(regs::ID);
        let (major, minor) = (regs::ID::MAJOR.of(id) as u8, regs::ID::MINOR.of(id) as u8);
        Ok(Identity { major, minor, reserved: 0 })
    }

    fn invert(&self, cx: &mut Passive, _: &(), word: u32) -> Result<u32> {
        // One at a time: the register is the device's only one.
        self.factorial.with(cx, |(), _| {
            self.bar.write(regs::LIVENESS, word);
            Ok(self.bar.read(regs::LIVENESS))
        })
    }

    fn factorial(&self, cx: &mut Passive, _: &(), n: u32) -> Result<u32> {
        self.factorial.with(cx, |(), cx| {
            self.bar.write(regs::FACTORIAL, n);
            cx.poll(1000, |_| !regs::STATUS::COMPUTING.is_set(self.bar.read(regs::STATUS)))?;
            Ok(self.bar.read(regs::FACTORIAL))
        })
    }

    fn raise(&self, _: &mut Passive, _: &(), bits: u32) -> Result<()> {
        if bits == 0 {
            return Err(Status::BAD_VALUE.into());
        }
        self.bar.write(regs::INTERRUPT_RAISE, bits);
        Ok(())
    }

    fn defer_every(&self, _: &mut Passive, _: &(), n: u32) -> Result<()> {
        if n == 0 {
            return Err(Status::BAD_VALUE.into());
        }
        self.defer_every.store(n, Relaxed);
        Ok(())
    }
}

impl IntEnable for Edu {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<Enabled> {
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, !0); // what an earlier owner left
        Ok(Enabled { defer_every: self.defer_every.load(Relaxed), seen: AtomicU32::new(0) })
    }

    fn int_disarm(&self, _: &mut Passive, _: &Enabled) {
        self.bar.write(regs::STATUS, 0);
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, !0);
    }
}

impl IntAtIrql for Edu {
    fn int_at_irql(&self, _: &mut Irql, enabled: &Enabled, _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        let seen = enabled.seen.fetch_add(1, Relaxed).wrapping_add(1);
        if seen.is_multiple_of(enabled.defer_every) { Verdict::DEFER } else { Verdict::DONE }
    }
}

impl IntAtDpc for Edu {
    fn int_at_dpc(&self, _: &mut Dispatch, _: &Enabled, _: Source, count: u32) -> u32 {
        count
    }
}

plugin! {
    Edu {
        name: "edu",
        devices: [0x1234:0x11e8],
        interface: edu,
        callbacks: [IntEnable, IntAtIrql, IntAtDpc],
    }
}
