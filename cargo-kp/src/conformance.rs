//! `cargo kp conformance`.
use crate::{
    host::{self, Host},
    programs,
};
use anyhow::Result;
use clap::Args;

/// Runs the conformance scenario on one host and prints its transcript, or runs one of the host's own tests.
#[derive(Debug, Args)]
pub struct ConformanceArgs {
    /// The host: sim, sim:qemu, windows:loader, windows:loader-qemu, windows:wine, or linux: and a kernel of kernels.toml, the latter also with +threadirqs.
    #[arg(long)]
    pub host: String,
    /// Which part: calls (on echo), interrupts (on edu), or all.
    #[arg(long, default_value = "all", value_parser = ["calls", "interrupts", "all"])]
    pub part: String,
    /// Install missing packages first.
    #[arg(long)]
    pub setup: bool,
    /// A test in place of the scenario, and its arguments: what `conformance list` has for linux:KERNEL, or for windows:loader without `loader`.
    #[arg(last = true, value_name = "TEST")]
    pub test: Vec<String>,
}

/// Carries it out. The transcript alone goes to stdout.
pub fn command(args: &ConformanceArgs) -> Result<()> {
    let host: Host = args.host.parse()?;
    programs::require_repository("conformance")?;
    let on_line = &mut |line: &str| println!("{line}");
    if args.test.is_empty() {
        host::scenario(&host, &args.part, args.setup, on_line)
    } else {
        host::test(&host, &args.test, args.setup, on_line)
    }
}
