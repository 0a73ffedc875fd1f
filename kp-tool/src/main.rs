//! `kp`: what runs where the card is. It needs no Rust on the machine.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    use clap::{CommandFactory, Parser, error::ErrorKind};
    use kp_tool::commands::Commands;
    use kp_tool::{Command, Message, ended};

    /// Says what kernel plugins there are, and what they do.
    #[derive(Parser)]
    #[command(name = "kp", version, arg_required_else_help = true)]
    struct Cli {
        /// Says more of an error, by its code.
        #[arg(long, value_name = "CODE")]
        explain: Option<String>,
        #[command(subcommand)]
        command: Option<Commands>,
    }

    let cli = Cli::parse();
    ended(match (cli.explain, cli.command) {
        (Some(code), _) => Message::explain(&code).map(|text| print!("{text}")).map_err(Into::into),
        (None, Some(command)) => command.run(),
        (None, None) => Cli::command().error(ErrorKind::MissingSubcommand, "name a command").exit(),
    })
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("error: kp is for Linux");
    ExitCode::from(kp_tool::Exit::Failed as u8)
}
