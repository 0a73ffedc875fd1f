//! What is in a box, an array or a pool is shared as if it stood alone.
use core::cell::Cell;
use kp_core::*;

pub struct Counts {
    pooled: PoolBox<Cell<u32>>,
}

impl Init for Counts {
    type Session = KBox<Cell<u32>>;
    type Interrupt = KVec<Cell<u32>>;
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Err(Status::BUSY.into())
    }
}
