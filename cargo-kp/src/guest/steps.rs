//! Carries out the steps of a plan.

use super::log;
use super::modules;
use super::plan::{NEEDS_END, NEEDS_START, Outcome, Step, Wanted};
use super::port::Port;
use super::unbound;
use kp_tool::bus::Bus;
use kp_tool::machine::{System, kernel_log};
use kp_tool::taken;
use rustix::io::Errno;
use rustix::process::WaitOptions;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a device node, or a driver's device, may take to appear.
const DEVICE_LIMIT: Duration = Duration::from_secs(5);

/// Where programs look for programs.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Does one step, sending what programs print to the port. `Err` says why it failed.
pub(super) fn carry_out(step: &Step, port: &Port) -> Result<(), String> {
    match step {
        Step::Needs(paths) => {
            // The host would not know where they begin and end; the steps after this one say what is missing.
            let _ = log(NEEDS_START);
            let loaded = paths.iter().try_for_each(|path| match modules::load(path, "") {
                Err(Errno::EXIST) => Ok(()),
                result => compare(called(result), Outcome::Success, &format!("loading {path}")),
            });
            let _ = log(NEEDS_END);
            loaded
        }
        Step::Load { path, params, nodes, expect } => {
            compare(called(modules::load(path, params)), *expect, &format!("loading {path}"))?;
            nodes.iter().try_for_each(|node| wait_for(node))
        }
        Step::Bound(wanted) => {
            let bus = Bus::system();
            if wanted.take {
                taken::take_all(&System::this(), &wanted.module, &wanted.aliases);
            }
            within_limit(|| bus.is_bound(&wanted.module) || !bus.is_binding(&wanted.aliases));
            is_bound(wanted)
        }
        Step::Unload { name, expect } => compare(called(modules::unload(name)), *expect, &format!("unloading {name}")),
        Step::Run { argv, env, expect } => compare(run(argv, env, port)?, *expect, &argv.join(" ")),
    }
}

/// Whether the module has its device now. `Err` says why it has not.
pub(super) fn is_bound(wanted: &Wanted) -> Result<(), String> {
    let bus = Bus::system();
    if bus.is_bound(&wanted.module) {
        return Ok(());
    }
    Err(unbound::in_words(wanted, bus.why_unbound(&wanted.module, &wanted.aliases, &kernel_log())))
}

/// Takes leave of processes whose parents have ended: they are the first process's.
pub(super) fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

fn compare(outcome: Outcome, expect: Outcome, what: &str) -> Result<(), String> {
    if outcome == expect {
        return Ok(());
    }
    Err(match expect {
        Outcome::Success => format!("{what}: {}", in_words(outcome)),
        expect => format!("{what}: {} instead of {}", in_words(outcome), in_words(expect)),
    })
}

/// A bare number helps nobody; the kernel's log has the details.
fn in_words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Success => "success".to_owned(),
        Outcome::Errno(number) => Errno::from_raw_os_error(number).to_string(),
        Outcome::Exit(code) => format!("exit status {code}"),
        Outcome::Signal(number) => format!("signal {number}"),
    }
}

fn called(result: Result<(), Errno>) -> Outcome {
    result.map_or_else(|errno| Outcome::Errno(errno.raw_os_error()), |()| Outcome::Success)
}

fn wait_for(node: &str) -> Result<(), String> {
    if within_limit(|| Path::new(node).exists()) { Ok(()) } else { Err(format!("{node} did not appear")) }
}

/// Whether something becomes true in time.
fn within_limit(is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > DEVICE_LIMIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn run(argv: &[String], env: &BTreeMap<String, String>, port: &Port) -> Result<Outcome, String> {
    let Some((program, args)) = argv.split_first() else { return Err("no program named".into()) };
    let (reader, writer) = std::io::pipe().map_err(|error| format!("no pipe: {error}"))?;
    let twin = writer.try_clone().map_err(|error| format!("no pipe: {error}"))?;
    let mut command = Command::new(program);
    command.args(args).env("PATH", SEARCHED).envs(env).stdin(Stdio::null()).stdout(writer).stderr(twin);
    let mut child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
    // The command holds the pipe's writing ends; the reader would wait for them forever.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_went_wrong_says_which_and_how() {
        let why = |outcome, expect| compare(outcome, expect, "/kp/app 1").expect_err("they differ");
        assert_eq!(why(Outcome::Exit(3), Outcome::Success), "/kp/app 1: exit status 3");
        assert_eq!(why(Outcome::Success, Outcome::Signal(11)), "/kp/app 1: success instead of signal 11");
        assert!(why(Outcome::Errno(2), Outcome::Success).starts_with("/kp/app 1: No such file"));
    }
}
