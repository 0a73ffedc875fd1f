//! A plugin whose interrupt handler runs C, into which tests put faults.
#![no_std]
#![forbid(unsafe_code)]

use kp_core::*;

/// The plugin.
pub struct CCode;

impl Init for CCode {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(CCode)
    }
}

impl IntAtIrql for CCode {
    fn int_at_irql(&self, _: &mut Irql, _: &(), source: Source) -> Verdict {
        let Source::Message(vector) = source else { return Verdict::NOT_MINE };
        if c_code_c::run(vector.into()) == 0 { Verdict::DONE } else { Verdict::DEFER }
    }
}

plugin! { CCode { name: "c-code", devices: [0x1234:0x11e8], callbacks: [IntAtIrql] } }
