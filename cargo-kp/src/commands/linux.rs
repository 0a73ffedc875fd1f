//! The commands on Linux.
use anyhow::Result;
use cargo_kp::bench::BenchArgs;
use cargo_kp::build::BuildArgs;
use cargo_kp::conformance::ConformanceArgs;
use cargo_kp::demo::DemoArgs;
use cargo_kp::test::TestArgs;
use cargo_kp::vm::command::VmArgs;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Command {
    Build(BuildArgs),
    Vm(VmArgs),
    Demo(DemoArgs),
    Conformance(ConformanceArgs),
    Test(TestArgs),
    Bench(BenchArgs),
    /// Lists what this machine has and lacks for building and booting.
    Doctor,
}

/// As a guest's first program it is something else.
pub fn before_all() {
    cargo_kp::guest::enter_if_init();
}

/// Carries it out.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Build(args) => cargo_kp::build::command(&args),
        Command::Demo(args) => cargo_kp::demo::command(&args),
        Command::Conformance(args) => cargo_kp::conformance::command(&args),
        Command::Test(args) => cargo_kp::test::command(&args),
        Command::Bench(args) => cargo_kp::bench::command(&args),
        Command::Vm(args) => cargo_kp::vm::command::run(&args),
        Command::Doctor => cargo_kp::doctor::run(),
    }
}
