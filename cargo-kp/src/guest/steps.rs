//! Carries out the steps of a plan.

use super::modules;
use super::plan::{Outcome, Step};
use super::port::Port;
use rustix::io::Errno;
use rustix::process::WaitOptions;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a device node may take to appear.
const NODE_LIMIT: Duration = Duration::from_secs(5);

/// Does one step, sending what programs print to the port. `Err` says why it failed.
pub(super) fn carry_out(step: &Step, port: &Port) -> Result<(), String> {
    match step {
        Step::Load { path, params, nodes, expect } => {
            compare(called(modules::load(path, params)), *expect)?;
            nodes.iter().try_for_each(|node| wait_for(node))
        }
        Step::Unload { name, expect } => compare(called(modules::unload(name)), *expect),
        Step::Run { argv, env, expect } => compare(run(argv, env, port)?, *expect),
    }
}

/// Takes leave of processes whose parents have ended: they are the first process's.
pub(super) fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

fn compare(outcome: Outcome, expect: Outcome) -> Result<(), String> {
    if outcome == expect {
        return Ok(());
    }
    // A bare number helps nobody; the kernel's log has the details.
    let text = match outcome {
        Outcome::Errno(number) => Errno::from_raw_os_error(number).to_string(),
        other => format!("{other:?}"),
    };
    Err(match expect {
        Outcome::Success => text,
        expect => format!("{text} instead of {expect:?}"),
    })
}

fn called(result: Result<(), Errno>) -> Outcome {
    result.map_or_else(|errno| Outcome::Errno(errno.raw_os_error()), |()| Outcome::Success)
}

fn wait_for(node: &str) -> Result<(), String> {
    let start = Instant::now();
    while !Path::new(node).exists() {
        if start.elapsed() > NODE_LIMIT {
            return Err(format!("{node} did not appear"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn run(argv: &[String], env: &BTreeMap<String, String>, port: &Port) -> Result<Outcome, String> {
    let Some((program, args)) = argv.split_first() else { return Err("no program named".into()) };
    let (reader, writer) = std::io::pipe().map_err(|error| format!("no pipe: {error}"))?;
    let twin = writer.try_clone().map_err(|error| format!("no pipe: {error}"))?;
    let mut command = Command::new(program);
    command.args(args).envs(env).stdin(Stdio::null()).stdout(writer).stderr(twin);
    let mut child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
    // The command holds the pipe's writing ends; the reader would wait for them for ever.
    drop(command);
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        port.output(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
    let status = child.wait().map_err(|error| format!("cannot wait for {program}: {error}"))?;
    Ok(match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Success,
        (Some(code), _) => Outcome::Exit(code),
        (None, signal) => Outcome::Signal(signal.unwrap_or(0)),
    })
}
