//! What runs inside the guest: the first process, which carries out the plan and reports on the second serial port.
//!
//! It is the same executable as the tool; [`enter_if_init`] tells the two lives apart.

pub mod modules;
pub mod plan;
mod port;
mod steps;
mod unbound;

use anyhow::{Context, Result};
use plan::Step;
use port::Port;
use rustix::mount::{MountFlags, mount};
use std::fs;
use std::os::unix::fs::symlink;

/// Becomes the guest's first process, and never returns, if the kernel has started this executable as its init. Else does
/// nothing. To be called at the start of `main`, before anything looks at the arguments.
pub fn enter_if_init() {
    let first = std::env::args_os().next();
    if rustix::process::getpid().is_init() && first.is_some_and(|name| name == plan::INIT) {
        init();
    }
}

fn init() -> ! {
    let code = match prepare() {
        Ok(port) => {
            let success = carry_out(&port);
            // The log takes another way, and on PREEMPT_RT kernels a slower one: the host answers once it has all of it.
            let flushed = log(plan::LOG_END).and_then(|()| port.wait_for_host());
            if let Err(error) = &flushed {
                port.trouble(&format!("{error:#}"));
            }
            let code = if success && flushed.is_ok() { plan::SUCCESS_CODE } else { plan::FAILURE_CODE };
            port.end(code);
            code
        }
        Err(error) => {
            // There is no result port. The console still shows this.
            eprintln!("kp-guest: {error:#}");
            plan::FAILURE_CODE
        }
    };
    port::exit(code)
}

fn prepare() -> Result<Port> {
    for (source, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(target).with_context(|| format!("cannot create {target}"))?;
        mount(source, target, source, MountFlags::empty(), None).with_context(|| format!("cannot mount {target}"))?;
    }
    // As a shell's `<(…)` has them.
    for (link, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        let _ = symlink(format!("/proc/self/{target}"), format!("/dev/{link}"));
    }
    // Not every kernel has it, and few tests look at it.
    let _ = mount("debugfs", "/sys/kernel/debug", "debugfs", MountFlags::empty(), None);
    for folder in ["/tmp", "/run"] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {folder}"))?;
    }
    // From here on the log shows lines of level info. Before, they would only cost time.
    fs::write("/proc/sys/kernel/printk", "7").context("cannot set the console's level")?;
    log(plan::LOG_START)?;
    Port::open()
}

fn carry_out(port: &Port) -> bool {
    let plan = fs::read(plan::PATH).context("cannot read the plan");
    let steps: Result<Vec<Step>> = plan.and_then(|text| serde_json::from_slice(&text).context("cannot parse the plan"));
    let steps = match steps {
        Ok(steps) => steps,
        Err(error) => {
            port.trouble(&format!("{error:#}"));
            return false;
        }
    };
    let mut success = true;
    let mut tell = |index, result: Result<(), String>| {
        success &= result.is_ok();
        port.step(index, result);
    };
    let mut unbound = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if matches!(step, Step::Unload { .. }) {
            unbound.drain(..).for_each(|(index, wanted)| tell(index, steps::is_bound(wanted)));
        }
        match (steps::carry_out(step, port), step) {
            (Err(_), Step::Bound(wanted)) => unbound.push((index, wanted)),
            (result, _) => tell(index, result),
        }
        steps::reap();
    }
    unbound.drain(..).for_each(|(index, wanted)| tell(index, steps::is_bound(wanted)));
    success
}

fn log(line: &str) -> Result<()> {
    fs::write("/dev/kmsg", format!("<6>{line}\n")).context("cannot write to the kernel's log")
}
