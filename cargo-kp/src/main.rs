//! `cargo kp`: builds kernel plugins, boots them in stock kernels, and tests them.

use cargo_kp::bench::BenchArgs;
use cargo_kp::build::BuildArgs;
use cargo_kp::conformance::ConformanceArgs;
use cargo_kp::demo::DemoArgs;
use cargo_kp::test::TestArgs;
use cargo_kp::vm::command::VmArgs;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds kernel plugins, boots them in stock kernels, and tests them.
#[derive(Parser)]
#[command(name = "cargo kp", bin_name = "cargo kp", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(BuildArgs),
    Vm(VmArgs),
    Demo(DemoArgs),
    Conformance(ConformanceArgs),
    Test(TestArgs),
    Bench(BenchArgs),
    /// Lists what this machine has and lacks for building and booting.
    Doctor,
}

fn main() -> ExitCode {
    cargo_kp::guest::enter_if_init();
    // Cargo passes the subcommand's own name: `cargo kp vm` starts `cargo-kp kp vm`.
    let args = std::env::args_os().enumerate().filter(|(index, arg)| !(*index == 1 && arg == "kp"));
    let cli = Cli::parse_from(args.map(|(_, arg)| arg));
    let result = match cli.command {
        Command::Build(args) => cargo_kp::build::command(&args),
        Command::Demo(args) => cargo_kp::demo::command(&args),
        Command::Conformance(args) => cargo_kp::conformance::command(&args),
        Command::Test(args) => cargo_kp::test::command(&args),
        Command::Bench(args) => cargo_kp::bench::command(&args),
        Command::Vm(args) => cargo_kp::vm::command::run(&args),
        Command::Doctor => cargo_kp::doctor::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
