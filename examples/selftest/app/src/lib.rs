//! What an app does with the selftest plugin: it runs the card's self test, and waits for its interrupt.
//!
//! The story takes a connection and an output, so that the same code runs against a kernel and in a test.
#![forbid(unsafe_code)]

use kp_user::{Enable, Plugin};
use selftest_interface::selftest;
use std::{
    error::Error,
    io::Write,
    time::{Duration, Instant},
};

/// How long an interrupt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it tells of a card that is whole.
pub const STORY: &str = include_str!("../tests/story.txt");

/// Tells the story of one card.
pub fn run(plugin: &Plugin, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let card = selftest::Client(plugin);
    let outcome = card.run()?;
    match outcome.end {
        0 => writeln!(out, "self test  {} steps passed, checksum {:#010x}", outcome.steps, outcome.crc)?,
        1 => {
            return Err(
                format!("step {}: {:#x} in place of {:#x}", outcome.steps, outcome.found, outcome.expected).into()
            );
        }
        _ => return Err(format!("step {}: the card does not finish", outcome.steps).into()),
    }
    let interrupts = plugin.interrupts(Enable::any())?;
    card.raise(0x0100)?;
    let woken = interrupts.wait(PATIENCE)?.got;
    // The second is not the self test's, and wakes nobody.
    card.raise(0x0001)?;
    let start = Instant::now();
    while interrupts.counters()?.received < 2 {
        if start.elapsed() > PATIENCE {
            return Err("the second interrupt did not arrive".into());
        }
        std::thread::yield_now();
    }
    let counters = interrupts.disable()?;
    writeln!(
        out,
        "interrupts raised 2: {} received, {} of them for the self test, app woken {woken} time",
        counters.received, counters.deferred
    )?;
    Ok(())
}
