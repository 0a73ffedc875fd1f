//! The plugin of these tests, for QEMU's edu device: raises interrupts, counts them, sleeps, allocates.
#![allow(dead_code, reason = "each test uses some of it")]
use core::sync::atomic::{AtomicU32, Ordering::*};
use kp_abi::interface;
use kp_core::*;

registers! {
    mod regs[0x68] {
        0x00 ID: u32, RO;
        0x08 FACTORIAL: u32, RW;
        0x20 STATUS: u32, RW { COMPUTING = 0 };
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 RAISE: u32, WO;
        0x64 ACKNOWLEDGE: u32, WO;
    }
}

/// The plugin.
pub struct TestPlugin {
    bar: Bar<regs::Map>,
    factorial: Mutex<()>,
    seen: SpinLock<u32, Irql>,
    /// What `int_at_irql` answers without acknowledging, for a line that never ends.
    stuck: AtomicU32,
}

/// One open, with what it allocated.
pub struct Session {
    text: Mutex<KVec<u8>>,
}

/// One enabling.
pub struct Enabled {
    largest: SpinLock<u32, Dispatch>,
    _kept: KBox<u64>,
}

impl Init for TestPlugin {
    type Session = Session;
    type Interrupt = Enabled;
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(TestPlugin {
            bar: device.map(cx, 0)?,
            factorial: Mutex::new(cx, ())?,
            seen: SpinLock::new(cx, 0)?,
            stuck: AtomicU32::new(0),
        })
    }
}

impl Open for TestPlugin {
    fn open(&self, cx: &mut Passive, _: &Caller, data: &[u8]) -> Result<Session> {
        let mut text = KVec::new();
        text.extend(cx, data)?;
        Ok(Session { text: Mutex::new(cx, text)? })
    }
}

interface! {
    pub mod messages, version 1 {
        /// Raises the interrupt.
        fn raise(bits: u32) = 1;
        /// Interrupts seen.
        fn seen() -> u32 = 2;
        /// Replaces the session's text.
        fn keep(text: &[u8]) -> u32 = 3;
        /// The session's text.
        fn kept() -> [u8] = 4;
        /// n!
        fn factorial(n: u32) -> u32 = 5;
        /// Sleeps.
        fn nap(ms: u32) = 6;
        /// From now on nothing acknowledges.
        fn stick() = 7;
        /// Panics.
        fn panic() = 8;
    }
}

impl messages::Handler<Passive, Session> for TestPlugin {
    fn raise(&self, _: &mut Passive, _: &Session, bits: u32) -> Result<()> {
        self.bar.write(regs::RAISE, bits);
        Ok(())
    }
    fn seen(&self, cx: &mut Passive, _: &Session) -> Result<u32> {
        Ok(self.seen.with(cx, |seen, _| *seen))
    }
    fn keep(&self, cx: &mut Passive, session: &Session, text: &[u8]) -> Result<u32> {
        let mut new = KVec::new();
        new.extend(cx, text)?;
        session.text.with(cx, |old, _| *old = new);
        Ok(text.len() as u32)
    }
    fn kept(&self, cx: &mut Passive, session: &Session, out: &mut Out<'_, '_, u8>) -> Result<()> {
        session.text.with(cx, |text, _| out.extend(text))
    }
    fn factorial(&self, cx: &mut Passive, _: &Session, n: u32) -> Result<u32> {
        self.factorial.with(cx, |(), cx| {
            self.bar.write(regs::FACTORIAL, n);
            cx.poll(1000, |_| !regs::STATUS::COMPUTING.is_set(self.bar.read(regs::STATUS)))?;
            Ok(self.bar.read(regs::FACTORIAL))
        })
    }
    fn nap(&self, cx: &mut Passive, _: &Session, ms: u32) -> Result<()> {
        cx.sleep_ms(ms)
    }
    fn stick(&self, _: &mut Passive, _: &Session) -> Result<()> {
        self.stuck.store(1, Relaxed);
        Ok(())
    }
    fn panic(&self, _: &mut Passive, _: &Session) -> Result<()> {
        panic!("planted")
    }
}

impl IntEnable for TestPlugin {
    fn int_enable(&self, cx: &mut Passive, _: Enabling<'_, Self>) -> Result<Enabled> {
        self.bar.write(regs::ACKNOWLEDGE, !0);
        Ok(Enabled { largest: SpinLock::new(cx, 0)?, _kept: KBox::new(cx, 1)? })
    }
    fn int_disarm(&self, _: &mut Passive, _: &Enabled) {
        self.bar.write(regs::ACKNOWLEDGE, !0);
    }
}

impl IntAtIrql for TestPlugin {
    fn int_at_irql(&self, cx: &mut Irql, _: &Enabled, _: Source) -> Verdict {
        if self.stuck.load(Relaxed) != 0 {
            return Verdict::DONE;
        }
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::ACKNOWLEDGE, bits);
        self.seen.with(cx, |seen, _| *seen += 1);
        Verdict::DEFER
    }
}

impl IntAtDpc for TestPlugin {
    fn int_at_dpc(&self, cx: &mut Dispatch, enabled: &Enabled, _: Source, count: u32) -> u32 {
        enabled.largest.with(cx, |largest, _| *largest = count.max(*largest));
        count
    }
}

plugin! {
    TestPlugin { name: "test", interface: messages, callbacks: [Open, IntEnable, IntAtIrql, IntAtDpc] }
}
