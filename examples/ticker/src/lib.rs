//! A card that ticks: the README's plugin, and the smallest one with an interrupt.
#![no_std]
#![forbid(unsafe_code)]
use kp_core::*;

registers! {
    mod regs[0x10] {
        0x00 TICKS: u32, RO;
        0x04 STATUS: u32, RO { TICKED = 0 };
        0x08 ACKNOWLEDGE: u32, WO;
    }
}

kp_abi::interface! {
    /// What apps ask.
    pub mod ticker, version 1 {
        /// How often the card has ticked.
        fn ticks() -> u32 = 1;
    }
}

/// One card.
pub struct Ticker(Bar<regs::Map>);

impl Init for Ticker {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Ticker(device.map(cx, 0)?))
    }
}

impl ticker::Handler<Passive> for Ticker {
    fn ticks(&self, _: &mut Passive, _session: &()) -> Result<u32> {
        Ok(self.0.read(regs::TICKS))
    }
}

impl IntAtIrql for Ticker {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        if !regs::STATUS::TICKED.is_set(self.0.read(regs::STATUS)) {
            return Verdict::NOT_MINE;
        }
        self.0.write(regs::ACKNOWLEDGE, 1);
        Verdict::DEFER // and so the app that waits is woken
    }
}

plugin! { Ticker { name: "ticker", devices: [0x1234:0x5678], interface: ticker, callbacks: [IntAtIrql] } }
