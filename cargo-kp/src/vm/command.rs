//! `cargo kp vm`.

use super::progress::Progress;
use super::{Verdict, Vm};
use crate::guest::plan::Step;
use crate::kernels;
use crate::packages::{Packages, Purpose, ThisMachine};
use anyhow::{Result, anyhow, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Boots a stock kernel, loads modules, runs a program there, unloads the modules, and judges the kernel's log.
#[derive(Debug, Args)]
pub struct VmArgs {
    /// The kernel: one of those in kernels.toml.
    #[arg(long, default_value = "6.1-cloud")]
    pub kernel: String,
    /// A module to load; may be repeated. Unloaded in reverse order at the end.
    #[arg(long = "module", value_name = "FILE")]
    pub modules: Vec<PathBuf>,
    /// A file to put into the guest as it is, as HOST:GUEST; may be repeated.
    #[arg(long = "file", value_name = "HOST:GUEST")]
    pub files: Vec<String>,
    /// A device to add, as in QEMU's -device; may be repeated.
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    /// How many CPUs the guest gets.
    #[arg(long, default_value_t = 1)]
    pub cpus: u32,
    /// How long the guest may run, in seconds.
    #[arg(long, default_value_t = 120)]
    pub timeout: u64,
    /// Install missing packages first.
    #[arg(long)]
    pub setup: bool,
    /// Show the kernel's log at the end.
    #[arg(long)]
    pub log: bool,
    /// The program to run in the guest, and its arguments.
    #[arg(last = true)]
    pub program: Vec<String>,
}

/// Carries out `cargo kp vm`. What the program prints goes to stdout. Fails if the guest does.
pub fn run(args: &VmArgs) -> Result<()> {
    Packages::new(&ThisMachine).require(Purpose::Boot, args.setup)?;
    let kernel = kernels::get(&args.kernel, args.setup)?;
    let mut vm = Vm::new(&kernel).cpus(args.cpus).timeout(Duration::from_secs(args.timeout));
    for device in &args.devices {
        vm = vm.device(device);
    }
    for file in &args.files {
        let (host, guest) = file.split_once(':').ok_or_else(|| anyhow!("--file {file}: write HOST:GUEST"))?;
        vm = vm.file(host, guest);
    }
    for module in &args.modules {
        let guest = format!("/kp/{}.ko", module_name(module)?);
        vm = vm.file(module, &guest).step(Step::load(&guest));
    }
    if let Some((program, rest)) = args.program.split_first() {
        let argv: Vec<&str> = ["/kp/program"].into_iter().chain(rest.iter().map(String::as_str)).collect();
        vm = vm.program(program, "/kp/program").step(Step::run(&argv));
    }
    for module in args.modules.iter().rev() {
        vm = vm.step(Step::unload(&module_name(module)?));
    }
    let progress = Progress::start(&format!("linux {}", kernel.release));
    let report = vm.run(&mut |line| progress.suspend(|| println!("{line}")))?;
    progress.finish(if report.verdict == Verdict::Passed { "passed" } else { "failed" });
    if args.log || report.verdict != Verdict::Passed {
        report.log.iter().for_each(|line| eprintln!("    {line}"));
    }
    match report.verdict {
        Verdict::Passed => Ok(()),
        Verdict::Failed(why) => bail!("{why}"),
    }
}

/// The kernel's name for the module in a file: the file's, with underscores.
fn module_name(path: &Path) -> Result<String> {
    let stem = path.file_stem().ok_or_else(|| anyhow!("{} is no module: name a .ko file", path.display()))?;
    Ok(stem.to_string_lossy().replace('-', "_"))
}
