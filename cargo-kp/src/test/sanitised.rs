//! A kernel that looks for mistakes, with `--long`: what the other stages run in stock kernels, memory that fails, and faults of which each has
//! to be found.
use super::{
    boots,
    log::Log,
    planted::{self, Fault, Guest, INTERRUPT, fails, guest, program_guest},
    registered,
    report::clean,
    stage::{Stage, Tally},
};
use crate::{
    guest::plan::Step,
    host::{self, Modules, PROGRAM},
    kernels::Kernel,
    packages::{Packages, Purpose, ThisMachine},
    programs, sanitised,
    vm::{Expected, Report, Vm},
};
use anyhow::Result;
use std::{path::Path, time::Duration};

/// The stages, with `--long`: a kernel is built for them, and guests are slow.
pub fn stages(long: bool) -> Vec<Stage> {
    if !long {
        return Vec::new();
    }
    vec![
        Stage { name: "sanitised kernel: the same as in stock ones", run: Box::new(same_as_stock) },
        Stage { name: "sanitised kernel: memory fails", run: Box::new(memory_fails) },
        Stage { name: "sanitised kernel: planted faults", run: Box::new(faults) },
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
    let trouble = host::modules_for(kernel, &["trouble", "clockwork"])?;
    let mut guests = planted::sound(&trouble, &program);
    guests.iter_mut().for_each(|guest| guest.vm = and_then(guest.vm.clone(), &last));
    tally.add(planted::run(guests, log));
    Ok(tally)
}

/// What Linux's own code says where its memory has failed: of an interrupt whose files could not be made, and of pages.
const LINUX_SAYS: [&str; 10] = [
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
        if run.iter().any(|word| word == "failing-loads") {
            // The place for the module's file, and for itself.
            vm = vm.expect(Expected::no_memory("program: vmalloc error: *"));
        }
        Guest { name: format!("{}: {}", modules.kernel.name, run.join(" ")), vm, verdict: Box::new(clean) }
    });
    Ok(planted::run(guests.collect(), log))
}

const OPENED: &str = "\tfile->private_data = session;\n";

/// Of each, only such a kernel tells.
const FAULTS: [Fault; 5] = [
    Fault {
        name: "reads what it has freed",
        plugin: "edu",
        run: INTERRUPT,
        file: "node.c",
        find: OPENED,
        replace: "\tfile->private_data = session;\n\t{ char *gone = kmalloc(16, GFP_KERNEL); kfree(gone); \
                  if (gone) (void)*(volatile char *)gone; }\n",
        reasons: &["kernel log: BUG: KASAN: slab-use-after-free in kp_open*[kp_edu]"],
        says: "",
    },
    // Found where Rust writes, and not where C lends it to others.
    Fault {
        name: "Rust writes behind what C has given it",
        plugin: "edu",
        run: INTERRUPT,
        file: "alloc.c",
        find: "memory = kvmalloc(size, GFP",
        replace: "memory = kvmalloc(size > 32 ? size - 8 : size, GFP",
        reasons: &["kernel log: BUG: KASAN: slab-out-of-bounds in kp_rs_bind*[kp_edu]"],
        says: "",
    },
    Fault {
        name: "shifts too far",
        plugin: "edu",
        run: INTERRUPT,
        file: "node.c",
        find: OPENED,
        replace: "\tfile->private_data = session;\n\t{ volatile int far = 40; far = 1 << far; }\n",
        reasons: &["kernel log: UBSAN: shift-out-of-bounds in *node.c:*"],
        says: "",
    },
    Fault {
        name: "may sleep in a DPC",
        plugin: "edu",
        run: INTERRUPT,
        file: "irq.c",
        find: "\tkp_rs_dpc(vector->device->cookie, vector->index);\n",
        replace: "\tmight_sleep();\n\tkp_rs_dpc(vector->device->cookie, vector->index);\n",
        reasons: &["kernel log: BUG: sleeping function called from invalid context at *irq.c:*"],
        says: "",
    },
    Fault {
        name: "frees a timer that runs",
        plugin: "edu",
        run: INTERRUPT,
        file: "node.c",
        find: OPENED,
        replace: "\tfile->private_data = session;\n\t{ struct timer_list *timer = kzalloc(sizeof(*timer), GFP_KERNEL); \
                  if (timer) { timer_setup(timer, delayed_work_timer_fn, 0); mod_timer(timer, jiffies + 1000 * HZ); kfree(timer); } }\n",
        reasons: &["kernel log: ODEBUG: free active (active state 0) object: * timer_list *"],
        says: "",
    },
];

/// Faults, each of which has to be found.
fn faults(setup: bool, log: &Log) -> Result<Tally> {
    let kernel = kernel(setup)?;
    let program = programs::build("conformance")?;
    let last = at_the_end()?;
    let mut guests = Vec::new();
    for fault in FAULTS {
        guests.push(planted::with_fault(fault, &kernel, &program)?);
    }
    let mut leak = planted::with_fault(LEAK, &kernel, &program)?;
    leak.vm = and_then(leak.vm, &last);
    guests.push(leak);
    let trouble = host::modules_for(kernel, &["trouble"])?;
    guests.push(in_rust(&trouble, &program, &last));
    guests.push(wrong_order(&trouble, &program));
    Ok(planted::run(guests, log))
}

/// What the kernel says that has found what nothing leads to.
const LOST: &[&str] = &["kernel log: kmemleak: * new suspected memory leaks *"];

const LEAK: Fault = Fault {
    name: "loses memory in C",
    plugin: "edu",
    run: INTERRUPT,
    file: "node.c",
    find: OPENED,
    replace: "\tfile->private_data = session;\n\t{ char *lost = kmalloc(1000, GFP_KERNEL); if (lost) WRITE_ONCE(*lost, 1); }\n",
    reasons: LOST,
    says: "",
};

/// A plugin that loses memory.
fn in_rust(trouble: &Modules, program: &Path, last: &[Vec<String>]) -> Guest {
    let vm = and_then(guest(trouble, program, &["leak", "box"]), last);
    let name = format!("{}: loses memory in Rust", trouble.kernel.name);
    Guest { name, vm, verdict: Box::new(|report: &Report| fails(report, LOST)) }
}

/// A plugin that takes two locks in two orders.
fn wrong_order(trouble: &Modules, program: &Path) -> Guest {
    const SAYS: &[&str] = &["kernel log: WARNING: possible circular locking dependency detected"];
    let vm = guest(trouble, program, &["locks"]);
    let name = format!("{}: takes locks in two orders", trouble.kernel.name);
    Guest { name, vm, verdict: Box::new(|report: &Report| fails(report, SAYS)) }
}
