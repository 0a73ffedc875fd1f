//! What an app sees of sleep: nothing, if the plugin does its part. It sets something, lets the machine sleep, and asks for it again.
#![forbid(unsafe_code)]

use kp_user::{Enable, Plugin};
use sleeper_interface::sleeper;
use std::{error::Error, io::Write, time::Duration};

/// How long an interrupt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the story of one device. `disturb` returns when the machine has slept, or the device was reset, as often as it was to.
pub fn run(plugin: &Plugin, disturb: &mut dyn FnMut(), out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let device = sleeper::Client(plugin);
    device.set(42)?;
    let interrupts = plugin.interrupts(Enable::any())?;
    writeln!(out, "before     word {}", device.get()?)?;
    disturb();
    let happened = device.happened()?;
    writeln!(out, "happened   slept {}, reset {}", happened.sleeps, happened.resets)?;
    writeln!(out, "after      word {}", device.get()?)?;
    device.start(5)?;
    writeln!(out, "interrupt  app woken {} time", interrupts.wait(PATIENCE)?.got)?;
    Ok(())
}
