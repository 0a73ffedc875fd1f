//! `cargo kp conformance`.
use crate::{
    command::Command,
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
    /// Which part: calls (on echo), interrupts (on edu), transfers (on bmd), or all.
    #[arg(long, default_value = "all", value_parser = ["calls", "interrupts", "transfers", "all"])]
    pub part: String,
    /// Install missing packages first; needs root or sudo.
    #[arg(long)]
    pub setup: bool,
    /// A test in place of the scenario, and its arguments: what `conformance list` has for linux:KERNEL, or for windows:loader and windows:loader-qemu without `loader`.
    #[arg(last = true, value_name = "TEST")]
    pub test: Vec<String>,
}

impl Command for ConformanceArgs {
    /// The transcript alone goes to stdout.
    fn run(self) -> Result<()> {
        let host: Host = self.host.parse()?;
        programs::require_repository("conformance")?;
        let on_line = &mut |line: &str| println!("{line}");
        if self.test.is_empty() {
            host::scenario(&host, &self.part, self.setup, on_line)
        } else {
            host::test(&host, &self.test, self.setup, on_line)
        }
    }
}
