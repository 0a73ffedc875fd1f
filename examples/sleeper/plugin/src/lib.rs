//! What `Event` is for: a driver for QEMU's educational device that keeps its setting and its interrupt through sleep and resets.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use kp_core::*;
pub use sleeper_interface::{Happened, sleeper};

registers! {
    /// BAR 0, as far as it is needed here. Source: QEMU's documentation, docs/specs/edu.
    pub mod regs[0x68] {
        /// Reads back the inverse of what was written: the device's word.
        0x04 LIVENESS: u32, RW;
        /// Starts a computation.
        0x08 FACTORIAL: u32, RW;
        /// What the device does.
        0x20 STATUS: u32, RW { INTERRUPT_WHEN_DONE = 7 };
        /// Bits that raised the interrupt.
        0x24 INTERRUPT_STATUS: u32, RO;
        /// Clears these bits.
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
    }
}

/// The device may interrupt.
const ON: u32 = 1 << 7;

/// One device.
pub struct Sleeper {
    bar: Bar<regs::Map>,
    /// What the device's word is to be, also after it has lost it.
    word: AtomicU32,
    /// An app has the interrupt enabled.
    armed: AtomicBool,
    sleeps: AtomicU32,
    resets: AtomicU32,
}

impl Sleeper {
    /// The device does nothing by itself from here on.
    fn quiet(&self) {
        self.bar.write(regs::STATUS, 0);
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, !0);
    }

    /// The device is as after power-on: gives it everything that it has lost.
    fn set_up(&self) {
        self.bar.write(regs::LIVENESS, !self.word.load(Relaxed));
        self.bar.write(regs::STATUS, if self.armed.load(Relaxed) { ON } else { 0 });
    }
}

impl Init for Sleeper {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = device.map(cx, 0)?;
        let (word, armed) = (AtomicU32::new(0), AtomicBool::new(false));
        let sleeper = Sleeper { bar, word, armed, sleeps: AtomicU32::new(0), resets: AtomicU32::new(0) };
        sleeper.set_up();
        Ok(sleeper)
    }
}

impl Event for Sleeper {
    fn event(&self, _: &mut Passive, happening: Happening) -> Deliver {
        match happening {
            Happening::Suspend | Happening::ResetPrepare => self.quiet(),
            Happening::Resume => {
                self.sleeps.fetch_add(1, Relaxed);
                self.set_up();
            }
            Happening::ResetDone => {
                self.resets.fetch_add(1, Relaxed);
                self.set_up();
            }
            // The sessions are still there, and the interrupt is: both are taken apart next. The device may be gone already.
            Happening::Removing => log!("sleeper: the device is going"),
            _ => {}
        }
        Deliver::Swallow
    }
}

impl sleeper::Handler<Passive> for Sleeper {
    // Calls never meet a device that sleeps or is being reset: kp has them wait.
    fn set(&self, _: &mut Passive, _: &(), word: u32) -> Result<()> {
        self.word.store(word, Relaxed);
        self.bar.write(regs::LIVENESS, !word);
        Ok(())
    }

    fn get(&self, _: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.bar.read(regs::LIVENESS))
    }

    fn start(&self, _: &mut Passive, _: &(), n: u32) -> Result<()> {
        self.bar.write(regs::FACTORIAL, n);
        Ok(())
    }

    fn happened(&self, _: &mut Passive, _: &()) -> Result<Happened> {
        Ok(Happened { sleeps: self.sleeps.load(Relaxed), resets: self.resets.load(Relaxed) })
    }
}

impl IntEnable for Sleeper {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        self.quiet(); // what an earlier owner left
        Ok(())
    }

    fn int_arm(&self, _: &mut Passive, _: &(), _: Granted) -> Result<()> {
        self.armed.store(true, Relaxed);
        self.bar.write(regs::STATUS, ON);
        Ok(())
    }

    fn int_disarm(&self, _: &mut Passive, _: &()) {
        self.armed.store(false, Relaxed);
        self.quiet();
    }

    fn int_disable(&self, _: &mut Passive, (): ()) {
        // Here too, since `int_disarm` is left out while the device sleeps.
        self.armed.store(false, Relaxed);
    }
}

impl IntAtIrql for Sleeper {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

plugin! {
    Sleeper {
        name: "sleeper",
        devices: [0x1234:0x11e8],
        interface: sleeper,
        callbacks: [Event, IntEnable, IntAtIrql],
    }
}
