//! What every command is: its arguments, and what it does with them; and how a program ends that one of them ran in.

use crate::{Exit, Message};
use anyhow::Result;
use serde::Serialize;
use std::process::ExitCode;

/// One command. Its arguments are a struct that clap fills in, and its help is that struct's documentation.
pub trait Command {
    /// Carries it out.
    ///
    /// # Errors
    /// What went wrong, with what to do next. The program prints it, and exits with 1 or what [`Message::exit`] says.
    fn run(self) -> Result<()>;
}

/// Has this program end quietly if nobody reads what it prints any more, as in `kp list | head -1`: as a program does that SIGPIPE ends. By that
/// signal itself it would also end where it writes to a guest that is gone.
pub fn end_with_its_reader() {
    const LIKE_SIGPIPE: i32 = 128 + 13;
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // What print! and eprintln! say. Whoever else stumbles over a pipe has made a mistake.
        let is_print = |text: &String| text.starts_with("failed printing to std") && text.contains("Broken pipe");
        if panic.payload().downcast_ref().is_some_and(is_print) {
            std::process::exit(LIKE_SIGPIPE);
        }
        others(panic);
    }));
}

/// Prints what went wrong, if something did, and says what the program exits with.
pub fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Message>() {
            Some(message) => {
                eprintln!("error[{}]: {error:#}", message.code());
                ExitCode::from(message.exit() as u8)
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::from(Exit::Failed as u8)
            }
        },
    }
}

/// A report as one JSON object: its format's name, and what is in it.
///
/// # Errors
/// It cannot be written as JSON.
pub fn json(format: &str, report: &impl Serialize) -> Result<String> {
    #[derive(Serialize)]
    struct Object<'a, T> {
        format: &'a str,
        #[serde(flatten)]
        report: &'a T,
    }
    Ok(serde_json::to_string_pretty(&Object { format, report })?)
}
