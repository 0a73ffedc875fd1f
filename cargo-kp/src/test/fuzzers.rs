//! The stage that lets programs loose on the nodes that know nothing of kp: trinity, which makes system calls with arguments of its own
//! invention, and stress-ng, which does to a node what any program may do to a file.
//!
//! Neither can tell right from wrong. The kernel's log can, and afterwards the modules leave nothing behind, and the scenario runs.
use super::{
    boots::POISON,
    log::Log,
    report::{clean, keep, with_log},
    stage::{Stage, Tally},
};
use crate::{
    guest::plan::{Outcome, Step},
    host::{self, MODULES, PROGRAM},
    packages::{Packages, Purpose, ThisMachine},
    programs,
    vm::Vm,
};
use anyhow::Result;
use std::time::Duration;

/// The kernel on which one is enough.
const KERNEL: &str = "6.12-cloud";
/// The nodes: of a plugin without a device, and of one with a device.
const NODES: [(&str, &str); 2] = [("echo", "/dev/kp/echo"), ("edu", "/dev/kp/edu.0")];
/// How long each goes on.
const SECONDS: &str = "600";
/// A guest that takes so much longer hangs.
const REST: Duration = Duration::from_secs(300);
/// So many calls it has made in that time, at least: else it was busy with something else.
const LEAST: u64 = 10_000;
/// What trinity calls. Descriptors come from the nodes alone: all its other sources that have a name are off.
const CALLS: [&str; 9] = ["ioctl", "openat", "mmap", "munmap", "read", "write", "poll", "close", "fcntl"];
const OTHER_FDS: &str = "sockets,pipes,perf,epoll,eventfd,timerfd,testfile,memfd,drm,inotify,userfaultfd";

/// The stage, with `--long`.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("trinity and stress-ng", run);
    if long { vec![stage] } else { Vec::new() }
}

fn run(setup: bool, log: &Log) -> Result<Tally> {
    Packages::new(&ThisMachine).require(&[Purpose::Fuzzers], setup)?;
    let mut tally = Tally::default();
    for (name, fuzzer) in [("trinity", trinity()), ("stress-ng", stress_ng())] {
        let vm = guest(name, fuzzer, setup)?;
        let report = vm.run(&mut |_| {})?;
        keep(log, name, &report);
        let came_out = clean(&report).and_then(|()| if name == "trinity" { called(&report.output) } else { Ok(()) });
        tally.report(&format!("{KERNEL}: {name}"), came_out.map_err(|why| with_log(why, &report)));
    }
    Ok(tally)
}

/// Trinity goes on until it is told to end. Then it says how many calls it has made.
fn trinity() -> Vec<Step> {
    let program = ["/bin/timeout", "-s", "INT", SECONDS, "/bin/trinity", "--dangerous", "-q", "-l", "off", "-C", "4"];
    let calls = CALLS.iter().flat_map(|call| ["-c", call]);
    let argv: Vec<&str> =
        program.into_iter().chain(["--disable-fds", OTHER_FDS, "-V", "/dev/kp"]).chain(calls).collect();
    vec![Step::run(&argv).expecting(Outcome::Exit(124))]
}

/// Whether trinity has made enough calls.
fn called(said: &[String]) -> Result<(), String> {
    let calls = said.iter().find_map(|line| line.split_once("Ran ")?.1.split_once(" syscalls")?.0.parse::<u64>().ok());
    match calls {
        Some(calls) if calls >= LEAST => Ok(()),
        calls => Err(format!("trinity has made {calls:?} calls, not {LEAST}")),
    }
}

/// stress-ng takes one node at a time, and half of the time for each.
fn stress_ng() -> Vec<Step> {
    let program = ["/bin/stress-ng", "--temp-path", "/tmp", "--timeout", "300", "--dev", "4", "--dev-file"];
    NODES.iter().map(|(_, node)| Step::run(&[&program[..], &[*node]].concat())).collect()
}

/// A guest in which the modules are loaded, `fuzzer` runs, the modules are unloaded, and the scenario runs.
fn guest(name: &str, fuzzer: Vec<Step>, setup: bool) -> Result<Vm> {
    let modules = host::modules(KERNEL, &NODES.map(|(plugin, _)| plugin), setup)?;
    let mut vm = modules.guest(&programs::build("conformance")?).cpus(2).memory(1024).kernel_arg(POISON);
    vm = vm.program("/usr/bin/timeout", "/bin/timeout").program(format!("/usr/bin/{name}"), &format!("/bin/{name}"));
    for (plugin, node) in NODES {
        vm = vm.step(Step::load_until(&format!("{MODULES}/kp-{plugin}.ko"), "", node));
    }
    vm = fuzzer.into_iter().fold(vm, Vm::step);
    for (plugin, _) in NODES {
        vm = vm.step(Step::unload(&format!("kp_{plugin}")));
    }
    vm = vm.step(Step::run(&[PROGRAM, "--host", "guest"]));
    Ok(vm.timeout(Duration::from_secs(SECONDS.parse()?) + REST))
}

#[cfg(test)]
mod tests {
    use super::called;

    #[test]
    fn trinity_has_to_have_made_its_calls() {
        let said = |line: &str| called(&["[main] Done parsing arguments.".to_owned(), line.to_owned()]);
        assert_eq!(said("Ran 20000 syscalls. Successes: 5  Failures: 19995"), Ok(()));
        for line in ["Ran 99 syscalls. Successes: 0  Failures: 99", "nothing"] {
            assert!(said(line).is_err(), "{line}");
        }
    }
}
