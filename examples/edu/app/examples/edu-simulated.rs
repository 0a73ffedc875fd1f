//! The same story on the simulator, for where no kernel can be booted.
#![forbid(unsafe_code)]

use kp_sim::Sim;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let sim = Sim::<edu::Edu>::with(kp_sim::edu::Edu::new())?;
    let plugin = sim.connect(edu_interface::edu::INTERFACE)?;
    edu_app::run(&plugin, &mut std::io::stdout())
}
