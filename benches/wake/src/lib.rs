//! A plugin whose calls wait until the DPC of an interrupt wakes them: what is left to measure is the wake-up. It drives QEMU's edu.
#![no_std]
#![forbid(unsafe_code)]

pub use bench_interface::wake;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use kp_core::*;

registers! {
    /// BAR 0, as far as it is needed here. Source: QEMU's documentation, docs/specs/edu.
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
    }
}

/// One device.
pub struct Wake {
    bar: Bar<regs::Map>,
    /// How many DPCs there were, and when the last one woke.
    dpcs: AtomicU32,
    woken_ns: AtomicU64,
    waiting: WaitQueue,
}

impl Init for Wake {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = device.map(cx, 0)?;
        Ok(Wake { bar, dpcs: AtomicU32::new(0), woken_ns: AtomicU64::new(0), waiting: WaitQueue::new(cx)? })
    }
}

impl IntAtIrql for Wake {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

impl IntAtDpc for Wake {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &(), _: Source, _: u32) -> u32 {
        self.woken_ns.store(cx.now_ns(), Relaxed);
        self.dpcs.fetch_add(1, Release);
        self.waiting.wake(cx);
        0 // it is a call that waits, no app
    }
}

impl wake::Handler<Passive> for Wake {
    fn next(&self, cx: &mut Passive, _: &()) -> Result<u64> {
        let before = self.dpcs.load(Acquire);
        self.waiting.wait_until(cx, u32::MAX, |_| self.dpcs.load(Acquire) != before)?;
        Ok(cx.now_ns().saturating_sub(self.woken_ns.load(Relaxed)))
    }
}

plugin! {
    Wake { name: "bench-wake", devices: [0x1234:0x11e8], interface: wake, callbacks: [IntAtIrql, IntAtDpc] }
}
