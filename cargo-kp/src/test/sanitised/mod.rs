//! A kernel that looks for mistakes, with `--long`: what the other stages run in stock kernels, memory that fails, and faults of which each has
//! to be found.
mod faults;
mod races;

use super::{
    boots,
    log::Log,
    planted::{self, Guest, program_guest},
    registered,
    report::clean,
    stage::{Stage, Tally},
};
use crate::{
    guest::plan::Step,
    host::{self, PROGRAM},
    kernels::Kernel,
    packages::{Packages, Purpose, ThisMachine},
    programs, sanitised,
    vm::{Expected, Vm},
};
use anyhow::Result;
use std::time::Duration;

/// The stages, with `--long`: a kernel is built for them, and guests are slow.
pub fn stages(long: bool) -> Vec<Stage> {
    if !long {
        return Vec::new();
    }
    vec![
        Stage::new("sanitised kernel: the same as in stock ones", same_as_stock),
        Stage::new("sanitised kernel: memory fails", memory_fails),
        Stage::new("sanitised kernel: planted faults", faults::found),
        Stage::new("sanitised kernel: data races", races::found),
    ]
}

fn kernel(setup: bool) -> Result<Kernel> {
    Packages::new(&ThisMachine).require(&[Purpose::Boot], setup)?;
    sanitised::build("--sanitised", setup)
}

/// What looks whether the kernel has found anything, at the end of each guest.
fn at_the_end() -> Result<Vec<Vec<String>>> {
    registered::runs("sanitised-end", true)
}

fn and_then(vm: Vm, runs: &[Vec<String>]) -> Vm {
    runs.iter().fold(vm, |vm, run| {
        let argv: Vec<&str> = [PROGRAM].into_iter().chain(run.iter().map(String::as_str)).collect();
        vm.step(Step::run(&argv))
    })
}

/// What runs in stock kernels. Not what panics: after that the kernel looks for deadlocks no more.
fn same_as_stock(setup: bool, log: &Log) -> Result<Tally> {
    let kernel = kernel(setup)?;
    let last = at_the_end()?;
    let mut tally = boots::run_in(&kernel.name, &last, setup, log)?;
    let program = programs::build("conformance")?;
    let trouble = host::modules_for(kernel, &["trouble", "clockwork", "eduown"])?;
    let mut guests = planted::sound(&trouble, &program);
    guests.iter_mut().for_each(|guest| guest.vm = and_then(guest.vm.clone(), &last));
    tally.add(planted::run(guests, log));
    Ok(tally)
}

/// What Linux's own code says where its memory has failed: of an interrupt whose files could not be made, and of pages.
const LINUX_SAYS: [&str; 10] = [
    // Of a node, of its class, of an interrupt.
    "kobject: can not set name properly!",
    "kobject: kobject_add_internal failed for *",
    "*Failed to add kobject for irq *",
    // Of a warning that follows.
    "name '*'",
    "Huh VM_FAULT_OOM leaked out to the #PF handler. Retrying PF",
    "SLUB: Unable to allocate memory on *",
    "cache: *, object size: *",
    "node *: slabs: *",
    "execmem: unable to allocate memory",
    "kmemleak: Cannot allocate a scan area, scanning the full object",
];

/// What is said of a device that could not be bound: by Linux, and by the port itself.
const NOT_BOUND: [&str; 6] = [
    "kp_edu *: really_probe: driver_sysfs_add failed",
    "kp_edu *: probe with driver kp_edu failed with error -*",
    // The range could not be written down.
    "kp_edu *: BAR 0: can't reserve *",
    "ioremap memtype_reserve failed -12",
    "kp_edu *: no node: error -12",
    "kp_edu: init refused the device: NoMemory",
];

/// Each thing that is asked for fails once.
fn memory_fails(setup: bool, log: &Log) -> Result<Tally> {
    let modules = host::modules_for(kernel(setup)?, &["echo", "edu", "trouble"])?;
    let program = programs::build("conformance")?;
    let last = at_the_end()?;
    let guests = registered::runs("sanitised", true)?.into_iter().map(|run| {
        let words: Vec<&str> = run.iter().map(String::as_str).collect();
        let vm = program_guest(&modules, &program, &words).timeout(Duration::from_secs(3600));
        let vm = LINUX_SAYS.iter().fold(and_then(vm, &last), |vm, line| vm.expect(Expected::lines(line)));
        // Linux does not look whether the files of an interrupt could be made, and warns when they are to go.
        let mut vm = vm.expect(Expected::oopses("WARNING: CPU: * at fs/proc/generic.c:* remove_proc_entry*"));
        if !run.iter().any(|word| word == "failing-requests") {
            vm = NOT_BOUND.iter().fold(vm, |vm, line| vm.expect(Expected::lines(line)));
        }
        if run.iter().any(|word| word == "failing-loads") {
            // The place for the module's file, and for itself.
            vm = vm.expect(Expected::no_memory("program: vmalloc error: *"));
            vm = vm.expect(Expected::lines("warn_alloc: * callbacks suppressed"));
        }
        Guest { name: format!("{}: {}", modules.kernel.name, run.join(" ")), vm, verdict: Box::new(clean) }
    });
    Ok(planted::run(guests.collect(), log))
}
