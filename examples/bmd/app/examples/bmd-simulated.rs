//! The same story on the simulator, for where no kernel can be booted. Its card takes a hundredth of the time.
#![forbid(unsafe_code)]

use kp_sim::{Sim, edu::Edu};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let sim = Sim::<bmd::Bmd>::with(Edu::new().dma_mask(u64::from(u32::MAX)).transfers_take(1_000_000))?;
    let plugin = sim.connect(bmd_interface::bmd::INTERFACE)?;
    bmd_app::run(&plugin, &mut std::io::stdout())
}
