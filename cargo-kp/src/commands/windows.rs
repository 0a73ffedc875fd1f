//! The commands on Windows.
use anyhow::{Result, bail};
use cargo_kp::bindings::BindingsArgs;
use cargo_kp::build::BuildArgs;
use cargo_kp::command::Command;
use cargo_kp::doctor::DoctorArgs;
use cargo_kp::new::NewArgs;
use cargo_kp::registers::command::RegsArgs;
use cargo_kp::schema::SchemaArgs;
use clap::Subcommand;
use std::ffi::OsString;

/// Every command, in the order of `cargo kp --help`.
#[derive(Subcommand)]
pub enum Commands {
    New(NewArgs),
    Regs(RegsArgs),
    Build(BuildArgs),
    Schema(SchemaArgs),
    Bindings(BindingsArgs),
    Doctor(DoctorArgs),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// There is nothing to do.
pub fn before_all() {}

impl Command for Commands {
    fn run(self) -> Result<()> {
        match self {
            Commands::New(args) => args.run(),
            Commands::Regs(args) => args.run(),
            Commands::Build(args) => args.run(),
            Commands::Schema(args) => args.run(),
            Commands::Bindings(args) => args.run(),
            Commands::Doctor(args) => args.run(),
            Commands::Other(words) => {
                let name = words.first().map(|name| name.to_string_lossy()).unwrap_or_default();
                bail!(
                    "`cargo kp {name}` needs Linux: on Windows there are `cargo kp build`, `cargo kp schema`, `cargo kp bindings` and `cargo kp doctor`"
                )
            }
        }
    }
}
