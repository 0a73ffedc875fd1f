//! What an app does with several vectors: it rings each, and waits for one of them or for any.
#![forbid(unsafe_code)]

use ivshmem_interface::{SILENT, VECTORS, ivshmem};
use kp_user::{Enable, Plugin};
use std::{
    error::Error,
    io::Write,
    time::{Duration, Instant},
};

/// How long an interrupt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the story of one device.
pub fn run(plugin: &Plugin, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let device = ivshmem::Client(plugin);
    writeln!(out, "device     number {} among its peers", device.position()?)?;
    let all = VECTORS as u32;
    let interrupts = plugin.interrupts(Enable::msix(all..=all))?;
    writeln!(out, "enabled    {} vectors of MSI-X", interrupts.count())?;

    for vector in (0..all).filter(|&vector| vector != SILENT) {
        device.ring(vector)?;
        let woken = interrupts.wait_vector(vector, PATIENCE)?;
        writeln!(out, "vector {}   rung once, app woken {} time", woken.vector, woken.got)?;
    }

    device.ring(SILENT)?;
    let start = Instant::now();
    while interrupts.counters_of(SILENT)?.dpc_runs == 0 {
        if start.elapsed() > PATIENCE {
            return Err("the silent vector's interrupt did not arrive".into());
        }
        std::thread::yield_now();
    }
    writeln!(out, "vector {SILENT}   rung once, dealt with in the kernel, app not woken")?;

    device.ring(2)?;
    let any = interrupts.wait(PATIENCE)?;
    writeln!(out, "any        woken by vector {}", any.vector)?;

    let c = interrupts.disable()?;
    writeln!(out, "in all     {} received, {} delivered, {} lost", c.received, c.delivered, c.lost)?;
    Ok(())
}
