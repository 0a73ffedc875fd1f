//! A plugin that no build may accept: its interrupt handler frees memory, which its `no-free` says it does not.
#![no_std]
#![forbid(unsafe_code)]

use kp_core::*;

/// The plugin.
pub struct Frees;

/// One enabling: what the first interrupt needs, and no later one.
pub struct Enabled(SpinLock<Option<KBox<u64>>, Irql>);

impl Init for Frees {
    type Session = ();
    type Interrupt = Enabled;
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Frees)
    }
}

impl IntEnable for Frees {
    fn int_enable(&self, cx: &mut Passive, _: Enabling<'_, Self>) -> Result<Enabled> {
        let first = KBox::new(cx, 1)?;
        Ok(Enabled(SpinLock::new(cx, Some(first))?))
    }
}

impl IntAtIrql for Frees {
    fn int_at_irql(&self, cx: &mut Irql, enabled: &Enabled, _: Source) -> Verdict {
        // Dropping the box is legal at every level; the port defers it. It is no work for a handler that promised not to.
        drop(enabled.0.with(cx, |first, _| first.take()));
        Verdict::DONE
    }
}

plugin! { Frees { name: "frees-at-irql", devices: [0x1234:0x11e8], callbacks: [IntEnable, IntAtIrql] } }
