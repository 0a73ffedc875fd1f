//! A plugin whose interrupt is its own, whether an app listens or not. It drives QEMU's edu, which a timer has interrupt.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering::*};
pub use eduown_interface::{Heard, own};
use kp_core::*;

registers! {
    /// BAR 0, as far as it is needed here. Source: QEMU's documentation, docs/specs/edu.
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 INTERRUPT_RAISE: u32, WO;
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
    }
}

/// How often the device interrupts from the start, in µs.
const EVERY_US: u32 = 1000;

/// One device.
pub struct EduOwn {
    bar: Bar<regs::Map>,
    dma: Dma,
    timer: Timer,
    interrupts: AtomicU32,
    callbacks: [AtomicU32; 4],
    wrong: AtomicU32,
    /// Enablings that have begun.
    enablings: AtomicU32,
    heard: WaitQueue,
}

/// One enabling.
pub struct Enabled {
    number: u32,
}

impl Init for EduOwn {
    type Session = ();
    type Interrupt = Enabled;
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let timer = device.timer(cx, 0)?;
        timer.start(cx, EVERY_US, Some(EVERY_US));
        Ok(EduOwn {
            bar: device.map(cx, 0)?,
            dma: device.dma(cx, DmaLimits::bits(28))?,
            timer,
            interrupts: AtomicU32::new(0),
            callbacks: Default::default(),
            wrong: AtomicU32::new(0),
            enablings: AtomicU32::new(0),
            heard: WaitQueue::new(cx)?,
        })
    }
}

impl TimerAtDpc for EduOwn {
    fn timer_at_dpc(&self, _: &mut Dispatch, _: u16) {
        self.bar.write(regs::INTERRUPT_RAISE, 1);
    }
}

impl EduOwn {
    fn ran(&self, callback: usize) {
        if let Some(callback) = self.callbacks.get(callback) {
            callback.fetch_add(1, Relaxed);
        }
    }
}

impl IntEnable for EduOwn {
    fn int_enable(&self, _: &mut Passive, enabling: Enabling<'_, Self>) -> Result<Enabled> {
        self.ran(0);
        if enabling.session.is_some() {
            return Err(Status::BAD_VALUE.into());
        }
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, !0);
        Ok(Enabled { number: self.enablings.fetch_add(1, AcqRel) + 1 })
    }
    fn int_arm(&self, _: &mut Passive, _: &Enabled, _: Granted) -> Result<()> {
        self.ran(1);
        Ok(())
    }
    fn int_disarm(&self, _: &mut Passive, _: &Enabled) {
        self.ran(2);
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, !0);
    }
    fn int_disable(&self, _: &mut Passive, _: Enabled) {
        self.ran(3);
    }
}

impl IntAtIrql for EduOwn {
    fn int_at_irql(&self, _: &mut Irql, enabled: &Enabled, _: Source) -> Verdict {
        if enabled.number != self.enablings.load(Acquire) {
            self.wrong.fetch_add(1, Relaxed);
        }
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

impl IntAtDpc for EduOwn {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &Enabled, _: Source, count: u32) -> u32 {
        self.interrupts.fetch_add(count, AcqRel);
        self.heard.wake(cx);
        count
    }
}

impl own::Handler<Passive> for EduOwn {
    fn heard(&self, _: &mut Passive, _: &()) -> Result<Heard> {
        Ok(Heard {
            interrupts: self.interrupts.load(Acquire),
            callbacks: self.callbacks.each_ref().map(|runs| runs.load(Relaxed)),
            wrong: self.wrong.load(Relaxed),
        })
    }

    fn every(&self, cx: &mut Passive, _: &(), us: u32) -> Result<()> {
        if us == 0 {
            self.timer.stop(cx);
        } else {
            self.timer.start(cx, us, Some(us));
        }
        Ok(())
    }

    fn halt(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.dma.halt(cx)
    }

    fn wait(&self, cx: &mut Passive, _: &(), interrupts: u32) -> Result<()> {
        let until = self.interrupts.load(Acquire).wrapping_add(interrupts);
        self.heard.wait_until(cx, 600_000, |_| until.wrapping_sub(self.interrupts.load(Acquire)).cast_signed() <= 0)
    }
}

plugin! {
    EduOwn {
        name: "eduown",
        devices: [0x1234:0x11e8],
        interrupt: own,
        interface: own,
        callbacks: [IntEnable, IntAtIrql, IntAtDpc, TimerAtDpc],
    }
}
