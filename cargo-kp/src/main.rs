//! `cargo kp`: builds kernel plugins, boots them in stock kernels, and tests them.

#[cfg_attr(unix, path = "commands/linux.rs")]
#[cfg_attr(not(unix), path = "commands/windows.rs")]
mod commands;

use cargo_kp::command::Command;
use clap::Parser;
use std::process::ExitCode;

/// Builds kernel plugins, boots them in stock kernels, and tests them.
#[derive(Parser)]
#[command(name = "cargo kp", bin_name = "cargo kp", version)]
struct Cli {
    #[command(subcommand)]
    command: commands::Commands,
}

fn main() -> ExitCode {
    commands::before_all();
    cargo_kp::build::wrapper::enter_if_asked();
    // Cargo passes the subcommand's own name: `cargo kp vm` starts `cargo-kp kp vm`.
    let args = std::env::args_os().enumerate().filter(|(index, arg)| !(*index == 1 && arg == "kp"));
    let cli = Cli::parse_from(args.map(|(_, arg)| arg));
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
