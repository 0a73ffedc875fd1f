//! The commands on Linux.
use anyhow::Result;
use cargo_kp::bench::BenchArgs;
use cargo_kp::bindings::BindingsArgs;
use cargo_kp::build::BuildArgs;
use cargo_kp::command::Command;
use cargo_kp::conformance::ConformanceArgs;
use cargo_kp::demo::DemoArgs;
use cargo_kp::doctor::DoctorArgs;
use cargo_kp::new::NewArgs;
use cargo_kp::package::PackageArgs;
use cargo_kp::registers::command::RegsArgs;
use cargo_kp::sanitised::KernelArgs;
use cargo_kp::schema::SchemaArgs;
use cargo_kp::sign::SignArgs;
use cargo_kp::sim::SimArgs;
use cargo_kp::test::TestArgs;
use cargo_kp::vm::command::VmArgs;
use clap::Subcommand;
use kp_tool::commands::Shared;

/// Every command, in the order of `cargo kp --help`.
#[derive(Subcommand)]
pub enum Commands {
    New(NewArgs),
    Regs(RegsArgs),
    Build(BuildArgs),
    Package(PackageArgs),
    Sign(SignArgs),
    Schema(SchemaArgs),
    Bindings(BindingsArgs),
    Sim(SimArgs),
    Vm(VmArgs),
    Demo(DemoArgs),
    Conformance(ConformanceArgs),
    Test(TestArgs),
    Bench(BenchArgs),
    Kernel(KernelArgs),
    Doctor(DoctorArgs),
    #[command(flatten)]
    OfKp(Shared),
}

/// As a guest's first program it is something else.
pub fn before_all() {
    cargo_kp::guest::enter_if_init();
}

impl Command for Commands {
    fn run(self) -> Result<()> {
        match self {
            Commands::New(args) => args.run(),
            Commands::Regs(args) => args.run(),
            Commands::Build(args) => args.run(),
            Commands::Package(args) => args.run(),
            Commands::Sign(args) => args.run(),
            Commands::Schema(args) => args.run(),
            Commands::Bindings(args) => args.run(),
            Commands::Sim(args) => args.run(),
            Commands::Vm(args) => args.run(),
            Commands::Demo(args) => args.run(),
            Commands::Conformance(args) => args.run(),
            Commands::Test(args) => args.run(),
            Commands::Bench(args) => args.run(),
            Commands::Kernel(args) => args.run(),
            Commands::Doctor(args) => args.run(),
            Commands::OfKp(command) => command.run(),
        }
    }
}
