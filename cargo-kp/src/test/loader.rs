//! Stages in the loader: the real drivers, echo's, edu's and one that panics, over a simulated NT kernel in one process.
use super::{
    log::Log,
    stage::{Stage, Tally, with_lines},
};
use crate::{
    host,
    packages::{Packages, Purpose, ThisMachine},
    programs,
};
use anyhow::{Context, Result};

/// All of them, in order.
pub fn stages() -> Vec<Stage> {
    vec![Stage { name: "drivers in the loader", run: Box::new(drivers) }]
}

/// The scenario on both models of the device; hostile and random requests; clients and devices that go, starts and stops; each call of the
/// kernel that can fail, failed once from each place.
fn drivers(setup: bool, log: &Log) -> Result<Tally> {
    Packages::new(&ThisMachine).require(&[Purpose::Boot], setup)?;
    let folder = host::drivers(&["echo", "edu", "trouble", "ivshmem"])?;
    let folder = folder.to_str().context("the target folder's path isn't UTF-8")?;
    let program = programs::build("conformance")?;
    let runs: [&[&str]; 14] = [
        &["--host", "windows:loader", "--part", "all", "--drivers", folder],
        &["--host", "windows:loader-qemu", "--part", "all", "--drivers", folder],
        &["loader", "bad-input", folder],
        &["loader", "fuzz", folder, "1", "1000000"],
        &["loader", "rounds", folder, "200"],
        &["loader", "life", folder],
        &["loader", "storm", folder],
        &["loader", "device", folder],
        &["loader", "resources", folder],
        &["loader", "slots", folder],
        &["loader", "strangers", folder],
        &["loader", "asleep", folder],
        &["loader", "power", folder],
        &["loader", "faults", folder],
    ];
    let mut tally = Tally::default();
    for arguments in runs {
        let (name, mut lines) = (arguments.join(" "), Vec::new());
        let ran = programs::run_file(&program, arguments, &mut |line| lines.push(line.to_owned()));
        log.keep(&name, &lines);
        tally.check(&name, ran.map_err(|error| with_lines(format!("{error:#}"), &lines)));
    }
    Ok(tally)
}
