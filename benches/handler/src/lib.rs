//! A plugin without a deferred handler: on Linux its interrupt handler wakes the app. It drives QEMU's edu.
#![no_std]
#![forbid(unsafe_code)]

pub use bench_interface::nothing;
use kp_core::*;

registers! {
    /// BAR 0, as far as it is needed here. Source: QEMU's documentation, docs/specs/edu.
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
    }
}

/// One device.
pub struct Handler {
    bar: Bar<regs::Map>,
}

impl Init for Handler {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Handler { bar: device.map(cx, 0)? })
    }
}

impl IntAtIrql for Handler {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

impl nothing::Handler<Passive> for Handler {
    fn nothing(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
}

plugin! { Handler { name: "bench-handler", devices: [0x1234:0x11e8], interface: nothing, callbacks: [IntAtIrql] } }
