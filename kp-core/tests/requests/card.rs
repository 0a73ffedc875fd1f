//! A plugin that refuses when it is asked to, and naps.
use kp_core::*;

/// What it refuses with.
pub const REFUSAL: u32 = 7;
/// Data with which it refuses an OPEN and an INT_ENABLE.
pub const REFUSE: &[u8] = b"refuse";

registers! {
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 RAISE: u32, WO;
        0x64 ACKNOWLEDGE: u32, WO;
    }
}

pub struct Card {
    bar: Bar<regs::Map>,
}

impl Init for Card {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Card { bar: device.map(cx, 0)? })
    }
}

kp_abi::interface! {
    pub mod messages, version 1 {
        /// A word, or a refusal.
        fn word(is_loud: bool, refuse: bool) -> u32 = 1;
        fn nap(ms: u32) = 2;
        fn raise() = 3;
        fn panic() = 4;
        /// Looks a buffer up.
        fn look_up(buffer: kp_abi::Buffer) = 5;
    }
}

impl messages::Handler<Passive> for Card {
    fn word(&self, _: &mut Passive, _: &(), _: bool, refuse: bool) -> Result<u32> {
        if refuse { Err(Error::plugin(REFUSAL)) } else { Ok(42) }
    }
    fn nap(&self, cx: &mut Passive, _: &(), ms: u32) -> Result<()> {
        cx.sleep_ms(ms)
    }
    fn raise(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.bar.write(regs::RAISE, 1);
        Ok(())
    }
    fn panic(&self, _: &mut Passive, _: &()) -> Result<()> {
        panic!("planted")
    }
    fn look_up(&self, cx: &mut Passive, _: &(), buffer: kp_abi::Buffer) -> Result<()> {
        cx.buffer(buffer).map(drop)
    }
}

fn refused(data: &[u8]) -> Result<()> {
    if data == REFUSE { Err(Error::plugin(REFUSAL)) } else { Ok(()) }
}

impl Open for Card {
    fn open(&self, _: &mut Passive, _: &Caller, data: &[u8]) -> Result<()> {
        refused(data)
    }
}

impl IntEnable for Card {
    fn int_enable(&self, _: &mut Passive, enabling: Enabling<'_, Self>) -> Result<()> {
        refused(enabling.data)
    }
}

impl IntAtIrql for Card {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        self.bar.write(regs::ACKNOWLEDGE, bits);
        if bits == 0 { Verdict::NOT_MINE } else { Verdict::DEFER }
    }
}

plugin! { Card { name: "card", interface: messages, callbacks: [Open, IntEnable, IntAtIrql] } }
