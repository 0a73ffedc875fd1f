//! A level is no plain data: no derive makes one of bytes.
use kp_abi::zerocopy::{self, FromZeros};
use kp_core::*;

#[derive(FromZeros)]
#[zerocopy(crate = "kp_abi::zerocopy")]
pub struct Made {
    level: Passive,
}

pub fn sleep(_: &mut Irql) -> Result<()> {
    Made::new_zeroed().level.sleep_ms(1)
}
