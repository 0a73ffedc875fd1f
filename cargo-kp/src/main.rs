//! `cargo kp`: builds kernel plugins, boots them in stock kernels, and tests them.

#[cfg_attr(unix, path = "commands/linux.rs")]
#[cfg_attr(not(unix), path = "commands/windows.rs")]
mod commands;

use cargo_kp::command::Command;
use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use kp_tool::{Message, ended, manual::Manual};
use std::process::ExitCode;

/// Builds kernel plugins, boots them in stock kernels, and tests them.
#[derive(Parser)]
#[command(name = "cargo kp", bin_name = "cargo kp", version, arg_required_else_help = true)]
struct Cli {
    /// Says more of an error, by its code.
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    #[command(subcommand)]
    command: Option<Any>,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, and it is taken apart at once")]
enum Any {
    #[command(flatten)]
    Command(commands::Commands),
    #[command(flatten)]
    Manual(Manual),
}

impl Command for Cli {
    fn run(self) -> anyhow::Result<()> {
        match (self.explain, self.command) {
            (Some(code), _) => {
                print!("{}", Message::explain(&code)?);
                Ok(())
            }
            (None, Some(Any::Command(command))) => command.run(),
            (None, Some(Any::Manual(manual))) => manual.run(Cli::command().name("cargo-kp").bin_name("cargo-kp")),
            (None, None) => Cli::command().error(ErrorKind::MissingSubcommand, "name a command").exit(),
        }
    }
}

fn main() -> ExitCode {
    commands::before_all();
    kp_tool::end_with_its_reader();
    cargo_kp::build::wrapper::enter_if_asked();
    // Cargo passes the subcommand's own name: `cargo kp vm` starts `cargo-kp kp vm`.
    let args = std::env::args_os().enumerate().filter(|(index, arg)| !(*index == 1 && arg == "kp"));
    let cli = Cli::parse_from(args.map(|(_, arg)| arg));
    ended(cli.run())
}
