//! The commands of `kp`.

mod schema;

pub use schema::SchemaArgs;

use crate::Command;
use clap::Subcommand;

/// Every command, in the order of `kp --help`.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help is that of the structs")]
pub enum Commands {
    Schema(SchemaArgs),
}

impl Command for Commands {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Commands::Schema(args) => args.run(),
        }
    }
}
