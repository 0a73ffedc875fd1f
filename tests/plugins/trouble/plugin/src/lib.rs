//! A plugin that makes trouble: it panics and leaks when it is told to. It drives QEMU's edu.
#![no_std]
#![forbid(unsafe_code)]

use core::{
    mem,
    sync::atomic::{
        AtomicBool, AtomicU32,
        Ordering::{Relaxed, SeqCst},
    },
};
use kp_core::*;
pub use trouble_interface::{BYTES, Happened, Who, trouble};

registers! {
    /// BAR 0, as far as it is needed here. Source: QEMU's documentation, docs/specs/edu.
    mod regs[0x68] {
        0x00 ID: u32, RO;
        0x04 LIVENESS: u32, RW;
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 INTERRUPT_RAISE: u32, WO;
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
    }
}

registers! {
    /// Any BAR.
    mod any[0x4] {
        0x00 WORD: u32, RO;
    }
}

/// What callbacks look bytes up in. An index from [`BYTES`] on panics.
const TABLE: [u8; BYTES as usize] = [2, 3, 5, 7];

/// Of `masked`: no interrupt is on its way.
const IDLE: u32 = 0;
/// One is, and its processor hears none.
const RAISED: u32 = 1;
/// The end of an enabling has seen that, and quiets the device.
const MET: u32 = 2;

/// What outlives a device.
static KEPT: spin::Mutex<Option<Config>> = spin::Mutex::new(None);
/// How often `init` is to refuse.
static REFUSALS: AtomicU32 = AtomicU32::new(0);
/// Whether `init` lets a device start transfers of its own.
static MASTERS: AtomicBool = AtomicBool::new(false);

/// One device.
pub struct Trouble {
    config: spin::Mutex<Option<Config>>,
    /// None only while the plugin is dropped.
    bar: Option<Bar<regs::Map>>,
    /// Those behind the first.
    others: [Option<Bar<any::Map>>; 5],
    /// Held from the write of a word until its inverse is read.
    liveness: Mutex<()>,
    /// Taken with `liveness` held.
    inner: Mutex<()>,
    /// Its holder is at Dispatch.
    undeferred: SpinLock<(), Dispatch>,
    keep_mapping: AtomicBool,
    storms: AtomicBool,
    greedy: AtomicBool,
    /// Taken with `undeferred` held.
    inner_undeferred: SpinLock<(), Dispatch>,
    /// Its holder hears no interrupts.
    unheard: SpinLock<(), Irql>,
    /// Taken with `unheard` held.
    inner_unheard: SpinLock<(), Irql>,
    /// Times that an enabling has quieted the device at its end.
    disarms: AtomicU32,
    /// Times that the device was told to interrupt.
    raises: AtomicU32,
    lingers: AtomicU32,
    meets: AtomicBool,
    /// Where `raise_masked` and the end of an enabling meet.
    masked: AtomicU32,
    closing: AtomicU32,
    close_ms: AtomicU32,
    suspends: AtomicU32,
    resumes: AtomicU32,
}

/// One open.
pub struct Session {
    /// What `close` looks up.
    at_close: u8,
    who: Who,
}

impl Trouble {
    fn bar(&self) -> Result<&Bar<regs::Map>> {
        self.bar.as_ref().ok_or(Status::DEVICE_GONE.into())
    }

    fn linger(&self, cx: &mut Passive) {
        let (before, more) = (self.raises.load(Relaxed), self.lingers.load(Relaxed));
        let mut patience = 0..10_000;
        while self.raises.load(Relaxed).wrapping_sub(before) < more && patience.next().is_some() {
            let _ = cx.sleep_ms(1);
        }
    }

    fn meet(&self, cx: &mut Passive) {
        let mut patience = 0..10_000;
        while self.meets.load(SeqCst)
            && self.masked.compare_exchange(RAISED, MET, SeqCst, SeqCst).is_err()
            && patience.next().is_some()
        {
            let _ = cx.sleep_ms(1);
        }
    }
}

impl Init for Trouble {
    type Session = Session;
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = device.map(cx, 0)?;
        let others = core::array::from_fn(|n| device.map(cx, n + 1).ok());
        if MASTERS.load(Relaxed) {
            #[expect(deprecated, reason = "older plugins do, and the removal ends it")]
            device.bus_master(cx, true)?;
        }
        if REFUSALS.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(Status::NO_MEMORY.into());
        }
        Ok(Trouble {
            config: spin::Mutex::new(Some(device.config()?)),
            bar: Some(bar),
            others,
            liveness: Mutex::new(cx, ())?,
            inner: Mutex::new(cx, ())?,
            undeferred: SpinLock::new(cx, ())?,
            keep_mapping: AtomicBool::new(false),
            storms: AtomicBool::new(false),
            greedy: AtomicBool::new(false),
            inner_undeferred: SpinLock::new(cx, ())?,
            unheard: SpinLock::new(cx, ())?,
            inner_unheard: SpinLock::new(cx, ())?,
            disarms: AtomicU32::new(0),
            raises: AtomicU32::new(0),
            lingers: AtomicU32::new(0),
            meets: AtomicBool::new(false),
            masked: AtomicU32::new(IDLE),
            closing: AtomicU32::new(0),
            close_ms: AtomicU32::new(0),
            suspends: AtomicU32::new(0),
            resumes: AtomicU32::new(0),
        })
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        if self.keep_mapping.load(Relaxed) {
            mem::forget(self.bar.take());
        }
    }
}

impl Open for Trouble {
    fn open(&self, _: &mut Passive, caller: &Caller, data: &[u8]) -> Result<Session> {
        let who = Who { process: caller.process, admin: caller.admin.into(), is_32bit: caller.is_32bit.into() };
        let [at_open, at_close] = *data else { return Ok(Session { at_close: 0, who }) };
        log!("opened with {}", TABLE[usize::from(at_open)]); // panics: open
        Ok(Session { at_close, who })
    }

    fn close(&self, cx: &mut Passive, session: Session) {
        let ms = self.close_ms.load(SeqCst);
        self.closing.fetch_add(1, SeqCst);
        let _ = cx.sleep_ms(ms);
        log!("closed with {}", TABLE[usize::from(session.at_close)]); // panics: close
    }
}

impl trouble::Handler<Passive, Session> for Trouble {
    fn ping(&self, _: &mut Passive, _: &Session) -> Result<()> {
        Ok(())
    }

    fn boom(&self, _: &mut Passive, _: &Session, index: u32) -> Result<u8> {
        Ok(TABLE[index as usize]) // panics: call
    }

    fn leak_box(&self, cx: &mut Passive, _: &Session) -> Result<()> {
        mem::forget(KBox::new(cx, [0_u64; 4])?);
        Ok(())
    }

    fn leak_mapping(&self, _: &mut Passive, _: &Session) -> Result<()> {
        self.keep_mapping.store(true, Relaxed);
        Ok(())
    }

    fn nap(&self, cx: &mut Passive, _: &Session, ms: u32) -> Result<()> {
        cx.sleep_ms(ms.min(60_000))
    }

    fn words(&self, _: &mut Passive, _: &Session) -> Result<[u32; 6]> {
        let mut words = [!0; 6];
        // The first word of edu's is its identification.
        words[0] = self.bar()?.read(regs::ID);
        for (word, bar) in words[1..].iter_mut().zip(&self.others) {
            *word = bar.as_ref().map_or(!0, |bar| bar.read(any::WORD));
        }
        Ok(words)
    }

    fn happened(&self, _: &mut Passive, _: &Session) -> Result<Happened> {
        Ok(Happened { suspends: self.suspends.load(Relaxed), resumes: self.resumes.load(Relaxed) })
    }

    fn raise(&self, _: &mut Passive, _: &Session, bits: u32) -> Result<()> {
        self.bar()?.write(regs::INTERRUPT_RAISE, bits);
        self.raises.fetch_add(1, Relaxed);
        Ok(())
    }

    fn invert(&self, cx: &mut Passive, _: &Session, word: u32) -> Result<u32> {
        let bar = self.bar()?;
        self.liveness.with(cx, |(), _| {
            bar.write(regs::LIVENESS, word);
            Ok(bar.read(regs::LIVENESS))
        })
    }

    fn hold(&self, cx: &mut Passive, _: &Session, ms: u32) -> Result<()> {
        self.liveness.with(cx, |(), cx| cx.sleep_ms(ms.min(60_000)))
    }

    fn toil(&self, cx: &mut Passive, _: &Session, ms: u32) -> Result<()> {
        let bar = self.bar()?;
        let end = cx.now_ns() + u64::from(ms.min(1000)) * 1_000_000;
        while cx.now_ns() < end {
            bar.read(regs::INTERRUPT_STATUS);
            let _ = cx.sleep_us(100);
        }
        bar.read(regs::INTERRUPT_STATUS);
        if ms > 100 {
            log!("toiled");
        }
        Ok(())
    }

    fn disarms(&self, _: &mut Passive, _: &Session) -> Result<u32> {
        Ok(self.disarms.load(Relaxed))
    }

    fn spin(&self, cx: &mut Passive, _: &Session, ms: u32) -> Result<()> {
        for _ in 0..ms.min(100) * 20 {
            cx.stall_us(50);
        }
        Ok(())
    }

    fn who(&self, _: &mut Passive, session: &Session) -> Result<Who> {
        Ok(session.who)
    }

    fn storm(&self, _: &mut Passive, _: &Session, on: bool) -> Result<()> {
        self.storms.store(on, Relaxed);
        Ok(())
    }

    fn linger(&self, _: &mut Passive, _: &Session, raises: u32) -> Result<()> {
        self.lingers.store(raises, Relaxed);
        Ok(())
    }

    fn greedy(&self, _: &mut Passive, _: &Session, on: bool) -> Result<()> {
        self.greedy.store(on, Relaxed);
        Ok(())
    }

    fn raise_masked(&self, cx: &mut Passive, _: &Session) -> Result<u32> {
        let bar = self.bar()?;
        for raised in 1..=400 {
            let met = self.unheard.with(cx, |(), cx| {
                bar.write(regs::INTERRUPT_RAISE, 1);
                self.raises.fetch_add(1, Relaxed);
                self.masked.store(RAISED, SeqCst);
                let mut patience = 0..1_000;
                while self.masked.load(SeqCst) == RAISED && patience.next().is_some() {
                    cx.stall_us(50);
                }
                if self.masked.compare_exchange(RAISED, IDLE, SeqCst, SeqCst).is_ok() {
                    return false;
                }
                (0..2_000).for_each(|_| cx.stall_us(50));
                self.masked.store(IDLE, SeqCst);
                true
            });
            if met {
                return Ok(raised);
            }
            // The other processor may wait until this one has flushed its TLB, as when the kernel frees what a module needs only to load.
            cx.sleep_ms(1)?;
        }
        Err(Status::TIMEOUT.into())
    }

    fn close_slowly(&self, _: &mut Passive, _: &Session, ms: u32) -> Result<()> {
        self.close_ms.store(ms.min(10_000), SeqCst);
        Ok(())
    }

    fn closing(&self, _: &mut Passive, _: &Session) -> Result<u32> {
        Ok(self.closing.load(SeqCst))
    }

    fn keep_config(&self, _: &mut Passive, _: &Session) -> Result<()> {
        let config = self.config.lock().take();
        *KEPT.lock() = config;
        Ok(())
    }

    fn kept_config(&self, cx: &mut Passive, _: &Session) -> Result<u32> {
        let kept = KEPT.lock().take();
        kept.ok_or(Status::WRONG_DEVICE)?.read32(cx, 0)
    }

    fn nest(&self, cx: &mut Passive, _: &Session, backwards: bool) -> Result<()> {
        if backwards {
            self.inner.with(cx, |(), cx| self.liveness.with(cx, |(), _| ()));
            return Ok(());
        }
        let irql = |cx: &mut Irql| self.inner_unheard.with(cx, |(), _| ());
        let dispatch = |cx: &mut Dispatch| self.unheard.with(cx, |(), cx| irql(cx));
        let passive = |cx: &mut Passive| {
            self.undeferred.with(cx, |(), cx| self.inner_undeferred.with(cx, |(), cx| dispatch(cx)));
        };
        self.liveness.with(cx, |(), cx| self.inner.with(cx, |(), cx| passive(cx)));
        Ok(())
    }

    fn refuse(&self, _: &mut Passive, _: &Session, times: u32) -> Result<()> {
        REFUSALS.store(times, Relaxed);
        Ok(())
    }

    fn masters(&self, _: &mut Passive, _: &Session, on: bool) -> Result<()> {
        MASTERS.store(on, Relaxed);
        Ok(())
    }

    fn pending(&self, _: &mut Passive, _: &Session) -> Result<u32> {
        Ok(self.bar()?.read(regs::INTERRUPT_STATUS))
    }

    fn meet(&self, _: &mut Passive, _: &Session, on: bool) -> Result<()> {
        self.meets.store(on, SeqCst);
        Ok(())
    }
}

impl IntEnable for Trouble {
    fn int_enable(&self, _: &mut Passive, enabling: Enabling<'_, Self>) -> Result<()> {
        if let [at, ..] = *enabling.data {
            log!("enabled with {}", TABLE[usize::from(at)]); // panics: int_enable
        }
        self.bar()?.write(regs::INTERRUPT_ACKNOWLEDGE, !0);
        Ok(())
    }

    fn int_disarm(&self, cx: &mut Passive, (): &()) {
        self.meet(cx);
        self.linger(cx);
        if let Ok(bar) = self.bar() {
            bar.write(regs::INTERRUPT_ACKNOWLEDGE, !0);
        }
        self.linger(cx);
        self.disarms.fetch_add(1, Relaxed);
    }
}

impl IntAtIrql for Trouble {
    fn int_at_irql(&self, _: &mut Irql, (): &(), _: Source) -> Verdict {
        if self.greedy.load(Relaxed) {
            return Verdict::DONE;
        }
        let Ok(bar) = self.bar() else { return Verdict::NOT_MINE };
        let bits = bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        if self.storms.load(Relaxed) {
            bar.write(regs::INTERRUPT_RAISE, bits); // a line is up still, a message comes again
            return Verdict::DONE;
        }
        bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

impl Event for Trouble {
    fn event(&self, _: &mut Passive, happening: Happening) -> Deliver {
        log!("event: {happening:?}");
        match happening {
            Happening::Suspend => self.suspends.fetch_add(1, Relaxed),
            Happening::Resume => self.resumes.fetch_add(1, Relaxed),
            _ => 0,
        };
        Deliver::Swallow
    }
}

plugin! {
    Trouble {
        name: "trouble",
        devices: [0x1234:0x11e8],
        interface: trouble,
        callbacks: [Open, IntEnable, IntAtIrql, Event],
    }
}
