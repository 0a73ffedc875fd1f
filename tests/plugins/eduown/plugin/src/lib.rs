//! A plugin whose interrupt is its own, whether an app listens or not. It drives QEMU's edu, which a timer has interrupt.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
pub use eduown_interface::{Heard, own};
use kp_core::*;

registers! {
    /// BAR 0, as far as it is needed here. Source: QEMU's documentation, docs/specs/edu.
    mod regs[0xA0] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 INTERRUPT_RAISE: u32, WO;
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
        /// Of the engine, which takes 100 ms.
        0x80 SOURCE: u64, WO;
        0x88 TARGET: u64, WO;
        0x90 COUNT: u64, WO;
        0x98 COMMAND: u64, WO { RUN = 0, INTERRUPT = 2 };
    }
    /// A page that the device reads.
    mod page[0x1000] {
        0x000 WORDS: [u64; 512], RW;
    }
}

/// The engine's interrupt.
const DONE: u32 = 0x100;
/// Where the device's own memory is.
const BUFFER: u64 = 0x4_0000;

/// How often the device interrupts from the start, in µs.
const EVERY_US: u32 = 1000;

/// One device.
pub struct EduOwn {
    bar: Bar<regs::Map>,
    dma: Dma,
    page: OnDevice<Coherent<page::Map>>,
    timer: Timer,
    interrupts: AtomicU32,
    callbacks: [AtomicU32; 4],
    wrong: AtomicU32,
    /// Enablings that have begun.
    enablings: AtomicU32,
    heard: WaitQueue,
    is_disturbed: AtomicBool,
    is_asleep: AtomicBool,
    sleeps: AtomicU32,
    ran_asleep: AtomicU32,
    unheard: AtomicU32,
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
        let dma = device.dma(cx, DmaLimits::bits(28))?;
        Ok(EduOwn {
            bar: device.map(cx, 0)?,
            page: Coherent::new(cx, &dma, 1)?.hand_over(),
            dma,
            timer,
            interrupts: AtomicU32::new(0),
            callbacks: Default::default(),
            wrong: AtomicU32::new(0),
            enablings: AtomicU32::new(0),
            heard: WaitQueue::new(cx)?,
            is_disturbed: AtomicBool::new(false),
            is_asleep: AtomicBool::new(false),
            sleeps: AtomicU32::new(0),
            ran_asleep: AtomicU32::new(0),
            unheard: AtomicU32::new(0),
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
        self.runs_awake();
    }

    /// A callback of the interrupt's runs.
    fn runs_awake(&self) {
        if self.is_asleep.load(Acquire) {
            self.ran_asleep.fetch_add(1, Relaxed);
        }
    }

    /// The engine interrupts when it has read the page, which is in 100 ms.
    fn interrupt_later(&self) -> Result<()> {
        self.bar.write(regs::SOURCE, self.page.bus(0)?.raw());
        self.bar.write(regs::TARGET, BUFFER);
        self.bar.write(regs::COUNT, 8);
        self.bar.write(regs::COMMAND, regs::COMMAND::RUN.mask() | regs::COMMAND::INTERRUPT.mask());
        Ok(())
    }
}

impl Event for EduOwn {
    fn event(&self, _: &mut Passive, happening: Happening) -> Deliver {
        match happening {
            Happening::Suspend => {
                if self.is_disturbed.load(Relaxed) && self.interrupt_later().is_err() {
                    self.ran_asleep.fetch_add(1, Relaxed); // never: the page is there
                }
                self.sleeps.fetch_add(1, Relaxed);
                self.is_asleep.store(true, Release);
            }
            Happening::Resume => {
                self.is_asleep.store(false, Release);
                let bits = self.bar.read(regs::INTERRUPT_STATUS);
                self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
                self.unheard.fetch_add((bits & DONE != 0).into(), Relaxed);
            }
            _ => {}
        }
        Deliver::Swallow
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
        self.runs_awake();
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
        self.runs_awake();
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
            sleeps: [self.sleeps.load(Relaxed), self.ran_asleep.load(Relaxed)],
            unheard: self.unheard.load(Relaxed),
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

    fn disturb_sleep(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.is_disturbed.store(true, Relaxed);
        Ok(())
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
        callbacks: [IntEnable, IntAtIrql, IntAtDpc, TimerAtDpc, Event],
    }
}
