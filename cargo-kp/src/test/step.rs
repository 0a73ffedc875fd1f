//! A command that has to succeed, as a person would type it.
use super::{log::Log, stage::with_lines};
use std::process::{Command, Stdio};

/// Runs it without input. What it says is kept in the stage's log as `name`'s; the answer is what it prints, or why it failed.
pub fn succeeds(name: &str, command: &mut Command, log: &Log) -> Result<Vec<String>, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot start {name}: {error}"))?;
    let lines = |bytes: &[u8]| -> Vec<String> { String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect() };
    let (printed, said) = (lines(&output.stdout), lines(&[output.stdout, output.stderr].concat()));
    log.keep(name, &said);
    if output.status.success() { Ok(printed) } else { Err(with_lines(format!("{name} fails:"), &said)) }
}
