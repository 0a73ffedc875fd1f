//! `kp`: installs plugins, loads them, and says how they are. It needs no Rust on the machine where it runs.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
    use kp_tool::commands::Commands;
    use kp_tool::manual::Manual;
    use kp_tool::{Command, Message, ended};

    /// Installs kernel plugins, loads them, and says how they are.
    #[derive(Parser)]
    #[command(name = "kp", version, arg_required_else_help = true)]
    struct Cli {
        /// Says more of an error, by its code.
        #[arg(long, value_name = "CODE")]
        explain: Option<String>,
        #[command(subcommand)]
        command: Option<Any>,
    }

    #[derive(Subcommand)]
    enum Any {
        #[command(flatten)]
        Command(Commands),
        #[command(flatten)]
        Manual(Manual),
    }

    kp_tool::end_with_its_reader();
    let cli = Cli::parse();
    ended(match (cli.explain, cli.command) {
        (Some(code), _) => Message::explain(&code).map(|text| print!("{text}")).map_err(Into::into),
        (None, Some(Any::Command(command))) => command.run(),
        (None, Some(Any::Manual(manual))) => manual.run(Cli::command()),
        (None, None) => Cli::command().error(ErrorKind::MissingSubcommand, "name a command").exit(),
    })
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("error: kp is for Linux: on Windows, pnputil installs a driver");
    ExitCode::from(kp_tool::Exit::Failed as u8)
}
