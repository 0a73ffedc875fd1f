//! `cargo kp test`: every test of this repository, in stages, with one count at the end.
//!
//! A stage is a name and what it runs: `local` has those that need no guest, `boots` those that boot the example plugins, `planted`
//! those that boot trouble, `wine` those that load Windows drivers, and `faults`, with `--long`, plants faults in the framework itself.
mod boots;
mod faults;
mod local;
mod planted;
mod stage;
mod unload;
mod wine;

use crate::packages::{Packages, Purpose, ThisMachine};
use anyhow::{Result, bail};
use clap::Args;
use stage::{Stage, Tally};
use std::time::Instant;

/// Runs every test, in stages, and ends with `N passed, N failed`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Install missing packages first; needs root or sudo.
    #[arg(long)]
    pub setup: bool,
    /// Everything on every host, planted faults included; takes longer.
    #[arg(long)]
    pub long: bool,
    /// Only the crates' own tests, under Miri; needs `cargo miri`.
    #[arg(long)]
    pub miri: bool,
    /// Only the stages whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
}

/// Carries it out. A stage with no test is a failure, and so is one that cannot run here.
pub fn command(args: &TestArgs) -> Result<()> {
    if args.miri {
        return local::miri();
    }
    let start = Instant::now();
    let packages = Packages::new(&ThisMachine);
    packages.require(Purpose::Build, args.setup)?;
    packages.require(Purpose::Boot, args.setup)?;
    packages.require(Purpose::Windows, args.setup)?;
    println!("packages   {:.0} s", start.elapsed().as_secs_f64());
    let chosen = |stage: &Stage| args.only.as_ref().is_none_or(|name| stage.name.contains(name.as_str()));
    let stages: Vec<Stage> = local::stages()
        .into_iter()
        .chain(boots::stages(args.long))
        .chain(planted::stages(args.long))
        .chain(wine::stages(args.long))
        .chain(faults::stages(args.long))
        .filter(chosen)
        .collect();
    let mut all = Tally::default();
    for stage in &stages {
        all.add(stage::run(stage, args.setup));
    }
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    println!("{} passed, {} failed", all.passed, all.failed);
    if all.failed > 0 || all.passed == 0 {
        bail!("{}", if stages.is_empty() { "no stage has that name" } else { "see the lines marked FAILED above" });
    }
    Ok(())
}
