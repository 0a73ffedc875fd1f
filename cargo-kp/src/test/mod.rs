//! `cargo kp test`: every test of this repository, in stages, with one count at the end.
//!
//! A stage is a name and what it runs: `local` has those that need no guest, `boots` those that boot the example plugins, `languages`
//! runs their apps in C and Python (`bindings` builds those that have bindings), `older` those of earlier versions, `demos` the demos,
//! `walk` goes from a card to an app, `planted` those that boot trouble, `loader` and `wine` those that load Windows drivers, `tool` runs
//! this program on Windows. With `--long` alone: `workspace`, a plugin of somebody's own; `packed`, one of the crates as they would be
//! published; `installed`, what `kp` and packages do to a machine; `instrumented` and `sanitised`, objects for kernels that look for
//! mistakes, and guests of those; `checkers`, other tools that look at the C glue; `reproducible`; `fuzzers`; and `mutations`, which plants
//! faults in the framework itself, and can be asked for alone. `mutants` is a run of its own.
mod bindings;
mod boots;
mod checkers;
mod demos;
mod fuzzers;
mod installed;
mod instrumented;
mod languages;
mod libtest;
mod loader;
mod local;
mod log;
mod mutants;
mod mutations;
mod older;
mod packed;
mod planted;
mod registered;
mod report;
mod reproducible;
mod sanitised;
mod stage;
mod step;
mod tool;
mod walk;
mod wine;
mod workspace;

use crate::command::Command;
use crate::packages::{Packages, Purpose, ThisMachine};
use crate::programs;
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use clap::Args;
use stage::Stage;
use std::{path::PathBuf, time::Instant};

/// Runs every test, in stages, and ends with `N passed, N failed`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Install missing packages first; needs root or sudo.
    #[arg(long)]
    pub setup: bool,
    /// Everything on every host, the mutations included; takes longer.
    #[arg(long)]
    pub long: bool,
    /// Only the crates' own tests, under Miri; needs `cargo miri`.
    #[arg(long)]
    pub miri: bool,
    /// Only what no test notices of changes to these source files, by cargo-mutants; of those that have changed since, if none is named.
    #[arg(long, value_name = "FILE", num_args = 0..)]
    pub mutants: Option<Vec<PathBuf>>,
    /// Only the planted faults of which name or file contains one of these; all, if none is given.
    #[arg(long, value_name = "PART", num_args = 0..)]
    pub mutations: Option<Vec<String>>,
    /// Only the stages whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
}

/// What the stages of a plain run want packages for, all of them together.
const NEEDED: [Purpose; 7] = [
    Purpose::Build,
    Purpose::Boot,
    Purpose::Windows,
    Purpose::App32,
    Purpose::Bindings,
    Purpose::Python,
    Purpose::Udev,
];

impl Command for TestArgs {
    /// A stage with no test is a failure, and so is one that cannot run here.
    fn run(self) -> Result<()> {
        if self.miri {
            return local::miri();
        }
        programs::require_repository("test")?;
        if let Some(files) = &self.mutants {
            return mutants::run(files);
        }
        let stages: Vec<Stage> = local::stages(self.long)
            .into_iter()
            .chain(boots::stages(self.long))
            .chain(languages::stages(self.long))
            .chain(older::stages(self.long))
            .chain(instrumented::stages(self.long))
            .chain(demos::stages())
            .chain(walk::stages(self.long))
            .chain(planted::stages(self.long))
            .chain(loader::stages())
            .chain(wine::stages(self.long))
            .chain(tool::stages(self.long))
            .chain(workspace::stages(self.long))
            .chain(packed::stages(self.long))
            .chain(installed::stages(self.long))
            .chain(sanitised::stages(self.long))
            .chain(checkers::stages(self.long))
            .chain(reproducible::stages(self.long))
            .chain(fuzzers::stages(self.long))
            .chain(mutations::stages(self.long))
            .collect();
        let stages = match &self.mutations {
            Some(parts) => vec![mutations::stage(parts.clone())],
            None => chosen(stages, self.only.as_deref())?,
        };
        let start = Instant::now();
        Packages::new(&ThisMachine).require(&NEEDED, self.setup)?;
        println!("packages   {:.0} s", start.elapsed().as_secs_f64());
        let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
        let logs = metadata.target_directory.join("kp/test").into_std_path_buf();
        let all = stage::run_all(&stages, self.setup, &logs);
        // Again, below all that was printed since.
        all.failures().iter().for_each(|failure| println!("FAILED     {failure}"));
        println!("what each stage's programs print is in {}", logs.join("<stage>.log").display());
        println!("{:.0} s in all", start.elapsed().as_secs_f64());
        println!("{} passed, {} failed", all.passed(), all.failures().len());
        if !all.failures().is_empty() {
            bail!("tests failed: they are listed above, and what each said is where it says FAILED first");
        }
        Ok(())
    }
}

/// The stages whose name contains `part`, or all. Fails if there is none; then the message lists them.
fn chosen(stages: Vec<Stage>, part: Option<&str>) -> Result<Vec<Stage>> {
    let Some(part) = part else { return Ok(stages) };
    let names: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
    if !names.iter().any(|name| name.contains(part)) {
        bail!("no stage's name contains `{part}`: there are {}", names.join(", "));
    }
    Ok(stages.into_iter().filter(|stage| stage.name.contains(part)).collect())
}

#[cfg(test)]
mod tests {
    use super::{stage::Tally, *};

    #[test]
    fn a_part_of_a_name_chooses_stages_and_one_of_none_lists_them() {
        let stages = || ["a guest", "a test", "more"].map(|name| Stage::new(name, |_, _| Ok(Tally::default())));
        let names =
            |part| chosen(stages().into(), part).map(|them| them.iter().map(|stage| stage.name).collect::<Vec<_>>());
        assert_eq!(names(None).expect("all"), ["a guest", "a test", "more"]);
        assert_eq!(names(Some("a ")).expect("two"), ["a guest", "a test"]);
        let why = names(Some("les")).expect_err("none").to_string();
        assert_eq!(why, "no stage's name contains `les`: there are a guest, a test, more");
    }
}
