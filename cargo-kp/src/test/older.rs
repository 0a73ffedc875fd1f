//! Apps that were built before: the examples' of an earlier version, as its source has it, with today's drivers.
use super::{
    log::Log,
    report::keep,
    stage::{Stage, Tally, with_lines},
};
use crate::{
    guest::plan::Step,
    host::{self, PROGRAM},
    programs,
    vm::{Report, Verdict},
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A version that many apps may be built with, and its ABI.
const VERSIONS: [(&str, &str); 1] = [("9ee7b110927d382336c71f191f6074645d50bf73", "1.1")];

/// The kernel on which one guest is enough.
const KERNEL: &str = "6.12-cloud";

/// The stage, with `--long`: it builds a whole client library of each version.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("apps built before", run);
    if long { vec![stage] } else { Vec::new() }
}

fn run(setup: bool, log: &Log) -> Result<Tally> {
    let mut tally = Tally::default();
    for (commit, abi) in VERSIONS {
        let older = build(commit).with_context(|| format!("the apps of {commit}"))?;
        for (package, old) in ["echo", "edu"].into_iter().zip(&older) {
            let new = programs::build(&format!("{package}-app"))?;
            let told = [old, &new].map(|app| tell(package, app, setup, log));
            let [told, today] = told.map(|report| report.map(|report| report.output));
            let (told, today) = (told?, today?);
            let same = !today.is_empty() && told == today;
            let came_out = if same { Ok(()) } else { Err(with_lines("it says".into(), &told)) };
            tally.report(&format!("{KERNEL}: {package}'s app of ABI {abi}"), came_out);
        }
    }
    Ok(tally)
}

/// The apps of a commit, built in a copy of its source.
fn build(commit: &str) -> Result<[PathBuf; 2]> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let folder = metadata.target_directory.join("kp/older").into_std_path_buf();
    let source = folder.join(commit);
    if !source.join("Cargo.toml").exists() {
        unpack(commit, &source)?;
    }
    let manifest = source.join("Cargo.toml");
    let target = folder.join("target");
    let words = [manifest.to_str(), target.to_str()].map(|path| path.context("a folder with an odd name"));
    let [manifest, target] = words;
    let (manifest, target) = (manifest?, target?);
    let build = |package: &str| {
        let arguments =
            ["--quiet", "--package", package, "--bin", package, "--manifest-path", manifest, "--target-dir", target];
        programs::run_cargo(Command::new("cargo"), "build", package, &arguments)
    };
    Ok([build("echo-app")?, build("edu-app")?])
}

/// Lays a commit's files into a folder.
fn unpack(commit: &str, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut archive = Command::new("git").args(["archive", commit]).stdout(Stdio::piped()).spawn()?;
    let files = archive.stdout.take().context("git's output is a pipe")?;
    let laid = Command::new("tar").arg("-x").arg("-C").arg(to).stdin(files).status()?;
    if !archive.wait()?.success() || !laid.success() {
        fs::remove_dir_all(to)?;
        bail!("git does not have that commit here: fetch the whole history (git fetch --unshallow)");
    }
    Ok(())
}

/// What an app says of today's plugin.
fn tell(package: &str, app: &Path, setup: bool, log: &Log) -> Result<Report> {
    let modules = host::modules(KERNEL, &[package], setup)?;
    let vm = modules.guest(app).step(Step::load(&format!("/kp/kp-{package}.ko"))).step(Step::run(&[PROGRAM]));
    let report = vm.step(Step::unload(&format!("kp_{package}"))).run(&mut |_| {})?;
    keep(log, KERNEL, &report);
    if let Verdict::Failed(why) = &report.verdict {
        bail!("{}", with_lines(why.clone(), &report.output));
    }
    Ok(report)
}
