//! Stages in the loader: the real drivers, echo's, edu's and one that panics, over a simulated NT kernel in one process.
use super::{
    log::Log,
    registered,
    stage::{Stage, Tally, two_at_a_time, with_lines},
};
use crate::{
    host,
    packages::{Packages, Purpose, ThisMachine},
    programs,
};
use anyhow::{Context, Result};

/// All of them, in order.
pub fn stages() -> Vec<Stage> {
    vec![Stage::new("drivers in the loader", drivers).beside_another()]
}

/// The scenario on both models of the device; and each of the conformance program's tests for the loader, in a process of its own.
fn drivers(setup: bool, log: &Log) -> Result<Tally> {
    Packages::new(&ThisMachine).require(&[Purpose::Boot], setup)?;
    let folder = host::drivers(host::LOADED)?;
    let folder = folder.to_str().context("the target folder's path isn't UTF-8")?;
    let program = programs::build("conformance")?;
    let scenario = |host: &str| ["--host", host, "--part", "all", "--drivers"].map(str::to_owned).to_vec();
    let mut runs = ["windows:loader", "windows:loader-qemu"].map(scenario).to_vec();
    runs.extend(registered::runs("loader", false)?);
    // What is shared with an app and with a device, and an interrupt that is always on, of QEMU's own.
    let on_qemu = |words: &&str| format!("loader-qemu {words}").split_whitespace().map(str::to_owned).collect();
    runs.extend(["rings", "transfers edus", "own_interrupt"].iter().map(on_qemu));
    // Most of one is a single thread.
    let one = |run: &Vec<String>| {
        let arguments: Vec<&str> = run.iter().map(String::as_str).chain([folder]).collect();
        let (name, mut lines) = (run.join(" "), Vec::new());
        let ran = programs::run_file(&program, &arguments, &mut |line| lines.push(line.to_owned()));
        log.keep(&name, &lines);
        let mut tally = Tally::default();
        tally.check(&name, ran.map_err(|error| with_lines(format!("{error:#}"), &lines)));
        tally
    };
    Ok(two_at_a_time(runs.iter(), |run| run, one))
}
