//! A callback borrows the plugin shared: changing it takes a lock or an atomic.
use kp_core::*;

pub struct Counting {
    ticks: u32,
}

impl Init for Counting {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Counting { ticks: 0 })
    }
}
impl IntAtIrql for Counting {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        self.ticks += 1;
        Verdict::DONE
    }
}
