//! A plugin of timers, work items and a wait queue, which notes what runs and whether it may. It drives QEMU's edu.
#![no_std]
#![forbid(unsafe_code)]

pub use clockwork_interface::{Ran, clockwork};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use kp_core::*;

registers! {
    /// BAR 0, as far as it is needed here. Source: QEMU's documentation, docs/specs/edu.
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 INTERRUPT_RAISE: u32, WO;
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
    }
}

/// As many as `late` answers at most.
const KEPT: usize = 512;

/// How much later than its time a timer has run.
struct Lateness {
    /// When it is due next, and how far that is from one time to the next, in ns.
    due: u64,
    period: u64,
    late: [u32; KEPT],
    count: usize,
}

/// What is noted of a timer or an item.
#[derive(Default)]
struct Notes {
    runs: AtomicU32,
    is_inside: AtomicBool,
}

/// One device.
pub struct Clockwork {
    bar: Bar<regs::Map>,
    timers: [Timer; 2],
    item: WorkItem,
    notes: [Notes; 3],
    lateness: SpinLock<KBox<Lateness>, Dispatch>,
    wrong: AtomicU32,
    is_asleep: AtomicBool,
    suspends: AtomicU32,
    sleep_ms: AtomicU32,
    slept: AtomicU32,
    busy_ms: AtomicU32,
    /// When the last DPC woke, and how many deferrals they were given.
    woken_ns: AtomicU64,
    interrupts: AtomicU32,
    undeferred: SpinLock<(), Dispatch>,
    /// The first run of a timer drops it: as little memory as there is, freed where that is done later.
    small: SpinLock<Option<KBox<u8>>, Dispatch>,
    interrupted: WaitQueue,
    never: WaitQueue,
}

/// Of the notes.
const WORK: usize = 2;

impl Init for Clockwork {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let small = KBox::new(cx, 0)?;
        let lateness = KBox::new(cx, Lateness { due: 0, period: 0, late: [0; KEPT], count: 0 })?;
        Ok(Clockwork {
            bar: device.map(cx, 0)?,
            timers: [device.timer(cx, 0)?, device.timer(cx, 1)?],
            item: device.work_item(cx, 0)?,
            notes: Default::default(),
            lateness: SpinLock::new(cx, lateness)?,
            wrong: AtomicU32::new(0),
            is_asleep: AtomicBool::new(false),
            suspends: AtomicU32::new(0),
            sleep_ms: AtomicU32::new(0),
            slept: AtomicU32::new(u32::MAX),
            busy_ms: AtomicU32::new(0),
            woken_ns: AtomicU64::new(0),
            interrupts: AtomicU32::new(0),
            undeferred: SpinLock::new(cx, ())?,
            small: SpinLock::new(cx, Some(small))?,
            interrupted: WaitQueue::new(cx)?,
            never: WaitQueue::new(cx)?,
        })
    }
}

impl Clockwork {
    /// One run.
    fn run<C>(&self, cx: &mut C, notes: &Notes, f: impl FnOnce(&mut C)) {
        let is_wrong = notes.is_inside.swap(true, AcqRel) || self.is_asleep.load(Acquire);
        self.wrong.fetch_add(is_wrong.into(), Relaxed);
        notes.runs.fetch_add(1, Relaxed);
        f(cx);
        notes.is_inside.store(false, Release);
    }

    fn timer(&self, number: u16) -> Result<&Timer> {
        self.timers.get(usize::from(number)).ok_or(Status::BAD_VALUE.into())
    }
}

impl TimerAtDpc for Clockwork {
    fn timer_at_dpc(&self, cx: &mut Dispatch, timer: u16) {
        let now = cx.now_ns();
        let Some(notes) = self.notes.get(usize::from(timer)) else { return };
        drop(self.small.with(cx, |small, _| small.take()));
        self.run(cx, notes, |cx| match timer {
            0 => self.lateness.with(cx, |lateness, _| {
                let late = now.saturating_sub(lateness.due);
                lateness.due += lateness.period * (1 + late.checked_div(lateness.period).unwrap_or(0));
                let at = lateness.count % KEPT;
                lateness.late[at] = u32::try_from(late).unwrap_or(u32::MAX);
                lateness.count += 1;
            }),
            _ => self.item.queue(cx),
        });
    }
}

impl Work for Clockwork {
    fn work(&self, cx: &mut Passive, _: u16) {
        self.run(cx, &self.notes[WORK], |cx| {
            let end = cx.now_ns() + u64::from(self.busy_ms.swap(0, AcqRel)) * 1_000_000;
            while cx.now_ns() < end {
                cx.stall_us(50);
            }
            let ms = self.sleep_ms.swap(0, AcqRel);
            if ms != 0 {
                let slept = cx.sleep_ms(ms).err().map_or(Status::OK, |error| error.status);
                self.slept.store(slept.0, Release);
                log!("the work's sleep ended with {}", slept.name());
            }
        });
    }
}

impl Event for Clockwork {
    fn event(&self, _: &mut Passive, happening: Happening) -> Deliver {
        match happening {
            Happening::Suspend => {
                self.suspends.fetch_add(1, Relaxed);
                self.is_asleep.store(true, Release);
            }
            Happening::Resume => self.is_asleep.store(false, Release),
            _ => {}
        }
        Deliver::Swallow
    }
}

impl IntAtIrql for Clockwork {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

impl IntAtDpc for Clockwork {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &(), _: Source, count: u32) -> u32 {
        self.interrupts.fetch_add(count, Relaxed);
        self.woken_ns.store(cx.now_ns(), Relaxed);
        self.interrupted.wake(cx);
        0
    }
}

impl clockwork::Handler<Passive> for Clockwork {
    fn start(&self, cx: &mut Passive, _: &(), timer: u16, first_us: u32, period_us: u32) -> Result<()> {
        if timer == 0 {
            let due = cx.now_ns() + u64::from(first_us) * 1000;
            self.lateness.with(cx, |lateness, _| {
                (lateness.due, lateness.period, lateness.count) = (due, u64::from(period_us) * 1000, 0);
            });
        }
        self.timer(timer)?.start(cx, first_us, (period_us != 0).then_some(period_us));
        Ok(())
    }
    fn stop(&self, cx: &mut Passive, _: &(), timer: u16) -> Result<()> {
        self.timer(timer)?.stop(cx);
        Ok(())
    }
    fn queue(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.item.queue(cx);
        Ok(())
    }
    fn sleeps(&self, _: &mut Passive, _: &(), ms: u32) -> Result<()> {
        self.sleep_ms.store(ms, Release);
        Ok(())
    }
    fn ran(&self, _: &mut Passive, _: &()) -> Result<Ran> {
        let [timer, queuing, work] = [0, 1, WORK].map(|at| self.notes[at].runs.load(Acquire));
        let (wrong, slept) = (self.wrong.load(Acquire), self.slept.load(Acquire));
        Ok(Ran { timer, queuing, work, wrong, slept, suspends: self.suspends.load(Acquire) })
    }
    fn late(&self, cx: &mut Passive, _: &(), out: &mut Out<'_, '_, u32>) -> Result<()> {
        self.lateness.with(cx, |lateness, _| {
            let count = lateness.count.min(KEPT);
            lateness.count = 0;
            out.extend(lateness.late.get(..count).unwrap_or_default())
        })
    }
    fn interrupted(&self, cx: &mut Passive, _: &(), ms: u32) -> Result<u32> {
        let before = self.interrupts.load(Acquire);
        self.bar.write(regs::INTERRUPT_RAISE, 1);
        self.interrupted.wait_until(cx, ms, |_| self.interrupts.load(Acquire) != before)?;
        let took = cx.now_ns().saturating_sub(self.woken_ns.load(Relaxed));
        Ok(u32::try_from(took).unwrap_or(u32::MAX))
    }
    fn wait(&self, cx: &mut Passive, _: &(), ms: u32) -> Result<()> {
        self.never.wait_until(cx, ms, |_| false)
    }
    fn next(&self, cx: &mut Passive, _: &()) -> Result<()> {
        let before = self.interrupts.load(Acquire);
        self.interrupted.wait_until(cx, u32::MAX, |_| self.interrupts.load(Acquire) != before)
    }

    fn burst(&self, cx: &mut Passive, _: &(), times: u32) -> Result<()> {
        self.undeferred.with(cx, |(), cx| {
            for _ in 0..times.min(100) {
                self.bar.write(regs::INTERRUPT_RAISE, 1);
                let mut patience = 0..1_000_000;
                while self.bar.read(regs::INTERRUPT_STATUS) != 0 {
                    patience.next().ok_or(Status::TIMEOUT)?;
                    cx.stall_us(10);
                }
            }
            Ok(())
        })
    }

    fn deferrals(&self, _: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.interrupts.load(Acquire))
    }

    fn busy(&self, _: &mut Passive, _: &(), ms: u32) -> Result<()> {
        self.busy_ms.store(ms, Release);
        Ok(())
    }

    fn panic(&self, _: &mut Passive, _: &()) -> Result<()> {
        panic!("planted")
    }
}

plugin! {
    Clockwork {
        name: "clockwork", devices: [0x1234:0x11e8], interface: clockwork,
        callbacks: [IntAtIrql, IntAtDpc, TimerAtDpc, Work, Event]
    }
}
