//! A plugin that no build may accept: its interrupt handler can panic.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use kp_core::*;

/// How often each vector has interrupted, for the vectors that its author thought of.
#[derive(Default)]
pub struct Counts([AtomicU32; 4]);

/// The plugin.
pub struct Panics;

impl Init for Panics {
    type Session = ();
    type Interrupt = Counts;
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Panics)
    }
}

impl IntAtIrql for Panics {
    fn int_at_irql(&self, _: &mut Irql, counts: &Counts, source: Source) -> Verdict {
        let Source::Message(vector) = source else { return Verdict::NOT_MINE };
        // Nobody has promised that there are no more than four.
        counts.0[usize::from(vector)].fetch_add(1, Relaxed);
        Verdict::DONE
    }
}

plugin! { Panics { name: "panics-at-irql", devices: [0x1234:0x11e8], callbacks: [IntAtIrql] } }
