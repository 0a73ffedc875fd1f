//! Faults, each of which such a kernel has to find: in the port's C, in core's Rust, and of a plugin.
use super::{and_then, at_the_end, kernel};
use crate::{
    host::{self, Modules},
    kernels::Kernel,
    programs,
    test::{
        log::Log,
        mutations::{Change, Copy},
        planted::{self, Fault, Guest, INTERRUPT, fails, guest, program_guest},
        stage::Tally,
    },
    vm::Report,
};
use anyhow::{Context, Result};
use std::{fs, path::Path};

/// Where a node is opened.
const OPENED: &str = "\tfile->private_data = session;\n";

/// Of each, only such a kernel tells.
const IN_C: [Fault; 8] = [
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
    Fault {
        name: "writes beyond what it has on its stack",
        plugin: "edu",
        run: INTERRUPT,
        file: "node.c",
        find: OPENED,
        replace: "\tfile->private_data = session;\n\t{ char few[8]; volatile char *beyond = few; OPTIMIZER_HIDE_VAR(beyond); \
                  beyond[8] = 0; }\n",
        reasons: &["kernel log: BUG: KASAN: stack-out-of-bounds in kp_open*[kp_edu]"],
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
        reasons: &[
            "kernel log: BUG: sleeping function called from invalid context at *irq.c:*",
            // The interrupt came to a task that was just about to sleep itself.
            "kernel log: do not call blocking ops when !TASK_RUNNING; *",
        ],
        says: "",
    },
    Fault {
        name: "frees a timer that runs",
        plugin: "edu",
        run: INTERRUPT,
        file: "node.c",
        find: OPENED,
        replace: "\tfile->private_data = session;\n\t{ struct delayed_work *later = kzalloc(sizeof(*later), GFP_KERNEL); \
                  if (later) { INIT_DELAYED_WORK(later, NULL); schedule_delayed_work(later, 1000 * HZ); kfree(later); } }\n",
        reasons: &["kernel log: ODEBUG: free active (active state 0) object: * timer_list *"],
        says: "",
    },
    // It is called once more as it is freed.
    Fault {
        name: "takes from a line's handler what it needs before it is freed",
        plugin: "trouble",
        run: &["planted", "transfers"],
        file: "irq.c",
        find: "\t\tfree_irq(vector->irq, vector);\n",
        replace: "\t\tdevice->cookie = NULL;\n\t\tfree_irq(vector->irq, vector);\n",
        // An address of KASAN's shadow: that of nothing.
        reasons: &[
            "kernel log: Oops: general protection fault, probably for non-canonical address 0xdffffc0000*KASAN*",
        ],
        says: "kp_irq_handler",
    },
    Fault {
        name: "leaves a buffer to the device",
        plugin: "bmd",
        run: &["--host", "guest", "--part", "transfers"],
        file: "dma.c",
        find: "\t\tdma_unmap_page_attrs(mapping->dev, mapping->bus, mapping->len, mapping->direction, attrs);\n",
        replace: "",
        // The next mapping of the same page comes before the device goes.
        reasons: &[
            "kernel log: *DMA-API: *cacheline tracking EEXIST, overlapping mappings aren't supported*",
            "kernel log: *DMA-API: *device driver has pending DMA allocations while released from device*",
        ],
        says: "",
    },
];

/// A change in core's source. The plugin is trouble.
pub(super) struct InRust {
    pub(super) name: &'static str,
    /// What the conformance program runs that has to notice.
    pub(super) run: &'static [&'static str],
    pub(super) file: &'static str,
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
    pub(super) reason: &'static str,
}

/// Where a session is freed, and is in no list any more.
const UNLISTED: &str = "if unsafe { device.handles.remove(cx, &session.links) }.is_err() {";

const IN_RUST: [InRust; 2] = [
    InRust {
        name: "core follows a list to a session that is freed",
        run: &["planted", "leak", "nothing"],
        file: "kp-core/src/host/lifecycle.rs",
        find: UNLISTED,
        replace: "if false {",
        reason: "kernel log: BUG: KASAN: slab-use-after-free in *[kp_trouble]*",
    },
    // The list's lock comes first: a removal holds it while it ends each session.
    InRust {
        name: "core takes its own locks in two orders",
        run: &["planted", "unbind"],
        file: "kp-core/src/host/lifecycle.rs",
        find: UNLISTED,
        replace: "if !matches!(session.lock.with(cx, |cx| unsafe { device.handles.remove(cx, &session.links) }), Ok(Ok(()))) {",
        reason: "kernel log: WARNING: possible circular locking dependency detected",
    },
];

/// A guest for each, in which it has to be found.
pub fn found(setup: bool, log: &Log) -> Result<Tally> {
    let kernel = kernel(setup)?;
    let program = programs::build("conformance")?;
    let last = at_the_end()?;
    let mut guests = Vec::new();
    for fault in IN_C {
        guests.push(planted::with_fault(fault, &kernel, &program)?);
    }
    let mut leak = planted::with_fault(LEAK, &kernel, &program)?;
    leak.vm = and_then(leak.vm, &last);
    guests.push(leak);
    let copy = Copy::of_workspace(setup)?;
    for fault in IN_RUST {
        guests.push(in_core(&fault, &copy, &kernel, &program)?);
    }
    let trouble = host::modules_for(kernel, &["trouble"])?;
    guests.push(plugin_leaks(&trouble, &program, &last));
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
fn plugin_leaks(trouble: &Modules, program: &Path, last: &[Vec<String>]) -> Guest {
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

/// A guest with a module that is built from a copy of the workspace, with the fault in it.
pub(super) fn in_core(fault: &InRust, copy: &Copy, kernel: &Kernel, program: &Path) -> Result<Guest> {
    let InRust { name, run, file, find, replace, reason } = *fault;
    let change = Change { file: Path::new(file), find, replace };
    let module = copy.with(&change, || {
        let built = copy.build_plugin("trouble", &["--target", &kernel.name])?;
        // The next one's takes its place.
        let kept = built.with_file_name(name.replace(' ', "-")).join(built.file_name().context("a module has a name")?);
        fs::create_dir_all(kept.parent().context("it has a folder")?)?;
        fs::copy(&built, &kept)?;
        Ok(kept)
    });
    let module = module.with_context(|| format!("cannot build the module in which {name}"))?;
    let modules = Modules { kernel: kernel.clone(), files: vec![module] };
    Ok(Guest {
        name: format!("{}: {name}", kernel.name),
        vm: program_guest(&modules, program, run),
        verdict: Box::new(move |report| fails(report, &[reason])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_place() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let in_c = IN_C.iter().chain([&LEAK]).map(|fault| (format!("kp-linux/kbuild/{}", fault.file), fault.find));
        let in_rust = IN_RUST.iter().map(|fault| (fault.file.to_owned(), fault.find));
        for (file, find) in in_c.chain(in_rust) {
            Change { file: Path::new(&file), find, replace: "" }.made_in(workspace).expect("once");
        }
    }
}
