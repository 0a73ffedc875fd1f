//! An interrupt context that `IntEnable` does not make has a default.
use kp_core::*;

pub struct Counting;
pub struct Count(u32);

impl Init for Counting {
    type Session = ();
    type Interrupt = Count;
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Counting)
    }
}
impl IntAtIrql for Counting {
    fn int_at_irql(&self, _: &mut Irql, _: &Count, _: Source) -> Verdict {
        Verdict::DONE
    }
}

plugin! { Counting { name: "counting", callbacks: [IntAtIrql] } }
