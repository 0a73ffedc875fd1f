//! What an app does with the edu plugin: it asks the device to compute, and takes its interrupts.
//!
//! The story takes a connection and an output, so that the same code runs against a kernel and in a test.
#![forbid(unsafe_code)]

use edu_interface::edu;
use kp_user::{Enable, Plugin, kp_abi::Status};
use std::{
    error::Error,
    io::Write,
    time::{Duration, Instant},
};

/// How long an interrupt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the story of one device, from the first message to the last interrupt.
pub fn run(plugin: &Plugin, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let device = edu::Client(plugin);
    let version = device.version()?;
    let name = String::from_utf8_lossy(&version.name);
    writeln!(out, "plugin     {} {}.{:02}", name.trim_end_matches('\0'), version.number / 100, version.number % 100)?;
    let identity = device.identity()?;
    writeln!(
        out,
        "device     edu {}.{}, alive: !0x0f0f0f0f = {:#010x}",
        identity.major,
        identity.minor,
        device.invert(0x0f0f_0f0f)?
    )?;
    for n in [5, 12] {
        writeln!(out, "factorial  {n}! = {}, computed by the device", device.factorial(n)?)?;
    }
    for (name, enable) in [("INTx", Enable::line()), ("MSI", Enable::msi())] {
        interrupts(plugin, name, enable, out)?;
    }
    Ok(())
}

/// Ten interrupts, of which every fifth reaches the app. A system may have assigned the device interrupts of one kind only.
fn interrupts(plugin: &Plugin, name: &str, enable: Enable<'_>, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let device = edu::Client(plugin);
    device.defer_every(5)?;
    let interrupts = match plugin.interrupts(enable) {
        Err(error) if error == Status::NO_INTERRUPT => {
            writeln!(out, "{name:<10} not what the device was given here")?;
            return Ok(());
        }
        interrupts => interrupts?,
    };
    let mut woken = 0;
    for i in 1..=10 {
        device.raise(1)?;
        let start = Instant::now();
        while interrupts.counters()?.received < i {
            if start.elapsed() > PATIENCE {
                return Err(format!("interrupt {i} over {name} did not arrive").into());
            }
            std::thread::yield_now();
        }
        if i % 5 == 0 {
            woken += interrupts.wait(PATIENCE)?.got;
        }
    }
    let c = interrupts.disable()?;
    writeln!(
        out,
        "{name:<10} raised 10: {} received, {} deferred to the DPC, app woken {woken} times, {} lost",
        c.received, c.deferred, c.lost
    )?;
    Ok(())
}
