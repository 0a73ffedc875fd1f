//! The commands of `kp`. `cargo kp` has the same.

mod install;
mod list;
mod load;
mod lock;
mod scan;
mod schema;
mod sign;
mod status;
mod uninstall;

pub use install::InstallArgs;
pub use list::ListArgs;
pub use load::{LoadArgs, ReloadArgs, UnloadArgs};
pub use scan::ScanArgs;
pub use schema::SchemaArgs;
pub use sign::{EnrollArgs, SignArgs};
pub use status::StatusArgs;
pub use uninstall::UninstallArgs;

use crate::Command;
use clap::Subcommand;

/// Every command, in the order of `kp --help`.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help is that of the structs")]
pub enum Commands {
    #[command(flatten)]
    Shared(Shared),
    Schema(SchemaArgs),
    Sign(SignArgs),
}

/// Those that `cargo kp` has too.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help is that of the structs")]
pub enum Shared {
    Scan(ScanArgs),
    Install(InstallArgs),
    Uninstall(UninstallArgs),
    Load(LoadArgs),
    Unload(UnloadArgs),
    Reload(ReloadArgs),
    List(ListArgs),
    Status(StatusArgs),
}

impl Command for Commands {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Commands::Shared(command) => command.run(),
            Commands::Schema(args) => args.run(),
            Commands::Sign(args) => args.run(),
        }
    }
}

impl Command for Shared {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Shared::Scan(args) => args.run(),
            Shared::Install(args) => args.run(),
            Shared::Uninstall(args) => args.run(),
            Shared::Load(args) => args.run(),
            Shared::Unload(args) => args.run(),
            Shared::Reload(args) => args.run(),
            Shared::List(args) => args.run(),
            Shared::Status(args) => args.run(),
        }
    }
}
