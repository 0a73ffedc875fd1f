//! `cargo kp conformance`.
use crate::{
    command::Command,
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
    /// Install missing packages first; needs root or sudo.
    #[arg(long)]
    pub setup: bool,
}

impl Command for ConformanceArgs {
    /// The transcript alone goes to stdout.
    fn run(self) -> Result<()> {
        let host: Host = self.host.parse()?;
        programs::require_repository("conformance")?;
        host::scenario(&host, &self.part, self.setup, &mut |line| println!("{line}"))
    }
}
