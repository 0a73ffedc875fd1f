//! `cargo kp conformance`.
use crate::{
    host::{self, Host},
    programs,
};
use anyhow::Result;
use clap::Args;

/// Runs the conformance scenario on one host and prints its transcript.
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
}

/// Carries it out. The transcript alone goes to stdout.
pub fn command(args: &ConformanceArgs) -> Result<()> {
    let host: Host = args.host.parse()?;
    programs::require_repository("conformance")?;
    host::scenario(&host, &args.part, args.setup, &mut |line| println!("{line}"))
}
