//! The commands on Windows.
use anyhow::{Result, bail};
use cargo_kp::build::BuildArgs;
use clap::Subcommand;
use std::ffi::OsString;

#[derive(Subcommand)]
pub enum Command {
    Build(BuildArgs),
    /// Lists what this machine has and lacks for building drivers.
    Doctor,
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// There is nothing to do.
pub fn before_all() {}

/// Carries it out.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Build(args) => cargo_kp::build::command(&args),
        Command::Doctor => cargo_kp::doctor::run(),
        Command::Other(words) => {
            let name = words.first().map(|name| name.to_string_lossy()).unwrap_or_default();
            bail!("`cargo kp {name}` needs Linux: on Windows there are `cargo kp build` and `cargo kp doctor`")
        }
    }
}
