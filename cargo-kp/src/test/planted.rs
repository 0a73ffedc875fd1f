//! Trouble made on purpose. What must fail fails, for its own reason; what a plugin cannot break stays whole.
//!
//! Safe plugin code can panic and leak, so `tests/plugins/trouble` does. It cannot leave an interrupt connected, sleep in a DPC, forget a message on its way or
//! have the kernel warn: for these the port's own C sources are changed, in a copy, in a long run.
use super::{
    boots::{POISON, SLEEPERS, of_each_version},
    log::Log,
    registered,
    report::{clean, freed, keep, passed, with_log},
    stage::{Stage, Tally, two_at_a_time},
};
use crate::{
    build,
    guest::plan::Step,
    host::{Modules, PROGRAM, modules},
    kernels, programs,
    vm::{Expected, Report, Verdict, Vm},
};
use anyhow::{Context, Result, bail};
use kp_tool::pattern::fits;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The kernel on which one is enough.
const KERNEL: &str = "6.12-cloud";
/// The kernel whose real-time threads can keep a processor from all others.
const UNFAIR: &str = "6.1-cloud";

/// Both, in order. `long`: everything on every kernel.
pub fn stages(long: bool) -> Vec<Stage> {
    vec![
        Stage::new("planted trouble", move |setup, log| trouble(long, setup, log)),
        Stage::new("suspend and resume", suspend).beside_another(),
        Stage::new("errors of a bus", errors).beside_another(),
    ]
}

fn trouble(long: bool, setup: bool, log: &Log) -> Result<Tally> {
    let mut tally = Tally::default();
    for build in REFUSED {
        tally.report(&format!("{KERNEL}: {} is refused", build.plugin), refused(&build));
    }
    tally.report("echo links nothing that it does not use", lean("echo"));
    let planted = registered::runs("planted", long)?;
    let all = registered::all_are_in(
        include_str!("planted.rs"),
        planted.iter().map(|run| run.get(1).unwrap_or(&run[0]).as_str()),
    );
    tally.report("each planted test has its guest", all);
    let program = programs::build("conformance")?;
    let mut guests = Vec::new();
    for kernel in of_each_version(long) {
        let trouble = modules(&kernel, &["trouble"], setup)?;
        guests.push(panics(&kernel, &trouble, &program)?);
        if long || kernel == KERNEL {
            guests.extend(leaks(&kernel, &trouble, &program));
            guests.push(storm(&kernel, &trouble, &program));
            guests.push(neighbour(&kernel, &trouble, &program));
            let verdict =
                |report: &Report| fails(report, &["kernel log: INFO: task program:* blocked for more than *"]);
            let vm = guest(&trouble, &program, &["hung"]);
            guests.push(Guest { name: format!("{kernel}: a tear-down that hangs"), vm, verdict: Box::new(verdict) });
        }
        if long {
            guests.extend(faults(&kernel, &program, setup)?);
        }
        if kernel == UNFAIR {
            let vm = guest(&trouble, &program, &["hog"]).step(Step::run(&[PROGRAM, "planted", "on-its-way"]));
            guests.push(Guest { name: format!("{kernel}: a processor with no time"), vm, verdict: Box::new(clean) });
        }
        if kernel == KERNEL {
            let vm = guest(&modules(&kernel, &["loopback"], setup)?, &program, &["stray"]);
            let vm = vm.device("intel-iommu,intremap=on").device("e1000e");
            let vm = vm.kernel_arg("intel_iommu=on").kernel_arg("iommu.strict=1");
            let verdict = |report: &Report| fails(report, &["kernel log: DMAR: *"]);
            guests.push(Guest { name: format!("{kernel}: a device goes astray"), vm, verdict: Box::new(verdict) });
            // On PREEMPT_RT a processor at Dispatch runs other tasks, the deferred handler's too.
            let vm = guest(&modules(&kernel, &["clockwork"], setup)?, &program, &["coalesced"]).cpus(1);
            guests.push(Guest { name: format!("{kernel}: coalesced"), vm, verdict: Box::new(clean) });
            guests.push(busy_work(&modules(&kernel, &["clockwork"], setup)?, &program));
        }
    }
    tally.add(run(guests, log));
    Ok(tally)
}

fn suspend(setup: bool, log: &Log) -> Result<Tally> {
    let program = programs::build("conformance")?;
    let sleeps = |kernel: &&str| Ok(sleeper(&modules(kernel, &["trouble", "clockwork", "eduown"], setup)?, &program));
    // The line that fails it is the last one: the machine goes off.
    let powers_off = |kernel: &&str| {
        let vm = guest(&modules(kernel, &["trouble"], setup)?, &program, &["power-off"]);
        let verdict = Box::new(|report: &Report| fails(report, &["kernel log: reboot: Power down"]));
        Ok(Guest { name: format!("{kernel}: power-off while apps freeze"), vm, verdict })
    };
    let mut guests = SLEEPERS.iter().map(sleeps).collect::<Result<Vec<_>>>()?;
    guests.extend(SLEEPERS.iter().map(powers_off).collect::<Result<Vec<_>>>()?);
    Ok(run(guests, log))
}

/// The machine sleeps and wakes, and a device is reset.
fn sleeper(trouble: &Modules, program: &Path) -> Guest {
    let vm = guest(trouble, program, &["suspend"]).step(Step::run(&[PROGRAM, "clockwork-asleep"]));
    let vm = vm.step(Step::run(&[PROGRAM, "own-asleep"])).step(Step::run(&[PROGRAM, "planted", "unbind"]));
    // A device alone on its bus can be reset.
    let vm = vm.device("pcie-root-port,id=rp,chassis=1,slot=1").device("edu,bus=rp");
    let vm = vm.step(Step::run(&[PROGRAM, "planted", "reset"]));
    Guest { name: format!("{}: suspend", trouble.kernel.name), vm, verdict: Box::new(clean) }
}

fn behind_errors(trouble: &Modules, program: &Path) -> Guest {
    let vm = behind_a_port(guest(trouble, program, &["errors"]));
    Guest { name: format!("{}: errors", trouble.kernel.name), vm, verdict: Box::new(clean) }
}

/// Guests of one kernel in which the machine sleeps, a bus has errors, interrupts never end, and devices share a line.
pub(super) fn sound(trouble: &Modules, program: &Path) -> Vec<Guest> {
    let kernel = &trouble.kernel.name;
    vec![
        sleeper(trouble, program),
        behind_errors(trouble, program),
        storm(kernel, trouble, program),
        neighbour(kernel, trouble, program),
    ]
}

/// A port reports errors, and what is behind it is recovered.
fn errors(setup: bool, log: &Log) -> Result<Tally> {
    let program = programs::build("conformance")?;
    let errors = |kernel: &&str| Ok(behind_errors(&modules(kernel, &["trouble"], setup)?, &program));
    let mut guests = SLEEPERS.iter().map(errors).collect::<Result<Vec<_>>>()?;
    let vm = behind_a_port(guest(&modules(KERNEL, &["trouble"], setup)?, &program, &["errors-after-a-panic"]));
    let vm =
        vm.expect(Expected::line("kp_trouble: panicked at *")).expect(Expected::oops("*invalid opcode: 0000 [#1]*"));
    let verdict = |report: &Report| {
        passed(report)?;
        // As if the device had been unbound.
        let (_, live) = PANICS[PANICS.len() - 1];
        match freed(&report.log, false) {
            Err(left) if left == format!("left behind: kp_trouble: unloaded; live: {live}") => Ok(()),
            other => Err(format!("left behind: {other:?}")),
        }
    };
    guests.push(Guest { name: format!("{KERNEL}: errors after a panic"), vm, verdict: Box::new(verdict) });
    Ok(run(guests, log))
}

/// Gives a guest a port that can report errors, of which the kernel's log tells, and two functions of a device behind it.
pub fn behind_a_port(vm: Vm) -> Vm {
    let vm = vm.expect(Expected::lines("pcieport *")).monitor().device("pcie-root-port,id=rp,chassis=1,slot=1");
    vm.device("edu,bus=rp,addr=0.0,multifunction=on").device("edu,bus=rp,addr=0.1")
}

/// A plugin that `cargo kp build` must refuse.
struct RefusedBuild {
    plugin: &'static str,
    /// The last line that it prints.
    error: &'static str,
}

const REFUSED: [RefusedBuild; 2] = [
    RefusedBuild {
        plugin: "panics-at-irql",
        error: "error: kp_rs_isr can reach kp_c_panic: kp_rs_isr → *panic_bounds_check → * → kp_c_panic; take the call off this path",
    },
    RefusedBuild {
        plugin: "frees-at-irql",
        error: "error: kp_rs_isr can reach kp_c_free: kp_rs_isr → *kp_c_free; take the call off this path",
    },
];

/// Runs `cargo kp build`, this very program, as a person would.
fn refused(build: &RefusedBuild) -> Result<(), String> {
    let build_it = ["build", "--plugin", build.plugin, "--target", KERNEL];
    let output = Command::new(programs::this_tool()).args(build_it).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    match output.status.success() {
        true => Err("it builds".to_owned()),
        false if fits(build.error, last) => Ok(()),
        false => Err(format!("refused, but not for its reason: {last}")),
    }
}

/// A plugin without a device, without interrupt callbacks and without a panic has none of the code for them.
fn lean(plugin: &str) -> Result<(), String> {
    let plugin = build::select(Some(plugin), Path::new(".")).map_err(|error| format!("{error:#}"))?;
    let object =
        build::object(&plugin, &build::Instrumentation::default(), &|_| {}).map_err(|error| format!("{error:#}"))?;
    let unused =
        ["kp_c_irq_", "kp_c_dpc_queue", "kp_c_map", "kp_c_unmap", "kp_c_config_", "kp_c_bus_master", "kp_c_panic"];
    let links = |name: &&String| unused.iter().any(|start| name.starts_with(start));
    let linked: Vec<&str> = object.calls.iter().filter(links).map(String::as_str).collect();
    if linked.is_empty() { Ok(()) } else { Err(format!("it calls {}", linked.join(", "))) }
}

/// Looks at how a guest ended. `Err`: not as it has to, and why.
pub(super) type Judgement = dyn Fn(&Report) -> Result<(), String> + Send;

/// A guest, and how it has to end.
pub(super) struct Guest {
    pub(super) name: String,
    pub(super) vm: Vm,
    pub(super) verdict: Box<Judgement>,
}

pub(super) fn guest(modules: &Modules, program: &Path, trouble: &[&str]) -> Vm {
    program_guest(modules, program, &[&["planted"], trouble].concat())
}

/// A guest in which the conformance program runs with these arguments.
pub(super) fn program_guest(modules: &Modules, program: &Path, arguments: &[&str]) -> Vm {
    let argv: Vec<&str> = [PROGRAM].into_iter().chain(arguments.iter().copied()).collect();
    let limit = Duration::from_secs(180) * modules.kernel.patience();
    modules.guest(program).cpus(2).timeout(limit).step(Step::run(&argv))
}

/// Boots all, two at a time. Each is a test.
pub(super) fn run(guests: Vec<Guest>, log: &Log) -> Tally {
    let one = |guest: Guest| {
        let came_out = match guest.vm.run(&mut |_| {}) {
            Ok(report) => {
                keep(log, &guest.name, &report);
                (guest.verdict)(&report).map_err(|why| with_log(why, &report))
            }
            Err(error) => Err(format!("{error:#}")),
        };
        let mut tally = Tally::default();
        tally.report(&guest.name, came_out);
        tally
    };
    two_at_a_time(guests.into_iter(), |guest| guest, one)
}

/// It has to fail, with one of these reasons.
pub(super) fn fails(report: &Report, reasons: &[&str]) -> Result<(), String> {
    match &report.verdict {
        Verdict::Failed(why) if reasons.iter().any(|reason| fits(reason, why)) => Ok(()),
        Verdict::Failed(why) => Err(format!("it fails, but not for its reason: {why}")),
        Verdict::Passed => Err("nobody notices".to_owned()),
    }
}

/// An interrupt that never ends, of each of the two kinds that there are: the log says so once for each. And a device that transfers by itself.
fn storm(kernel: &str, trouble: &Modules, program: &Path) -> Guest {
    let more = ["kept", "transfers"].map(|run| Step::run(&[PROGRAM, "planted", run]));
    let vm = more.into_iter().fold(guest(trouble, program, &["storm"]), Vm::step).expect(never_ends());
    Guest { name: format!("{kernel}: storm, transfers"), vm, verdict: Box::new(|report| guarded(report, [2, 0])) }
}

/// Devices that share a line, and one of them has a handler that claims what is the other's: the guard cannot mask that, and says so once;
/// then it is the kernel that turns the line off.
fn neighbour(kernel: &str, trouble: &Modules, program: &Path) -> Guest {
    let vm = guest(trouble, program, &["neighbour"]).device("edu,addr=4").device("edu,addr=8");
    let vm = vm.expect(Expected::unhandled("irq *: nobody cared *")).expect(never_ends());
    Guest { name: format!("{kernel}: neighbour"), vm, verdict: Box::new(|report| guarded(report, [0, 1])) }
}

/// What the storm guard says. [`guarded`] counts it.
fn never_ends() -> Expected {
    Expected::lines("kp_trouble: an interrupt never ends: *")
}

/// How often the storm guard has to say that it has masked an interrupt, and that it could not.
fn guarded(report: &Report, due: [usize; 2]) -> Result<(), String> {
    const SAYS: [&str; 2] =
        ["masked until it is disabled", "it is not masked, and not taken for the device's any more"];
    clean(report)?;
    let said = SAYS.map(|end| {
        let line = format!("an interrupt never ends: {end}");
        report.log.iter().filter(|one| one.ends_with(&line)).count()
    });
    if said == due { Ok(()) } else { Err(format!("the guard has said so {said:?} times, not {due:?}")) }
}

/// What the plugin itself can lose; and nothing, which must pass.
fn leaks(kernel: &str, trouble: &Modules, program: &Path) -> Vec<Guest> {
    let lost = [("box", "1 allocations, 0 locks, 0 mappings"), ("mapping", "0 allocations, 0 locks, 1 mappings")];
    let guest = |what: &str, verdict| Guest {
        name: format!("{kernel}: leaks {what}"),
        vm: guest(trouble, program, &["leak", what]),
        verdict,
    };
    let mut guests = vec![guest("nothing", Box::new(clean))];
    for (what, live) in lost {
        let why = format!("left behind: kp_trouble: unloaded; live: {live}");
        let verdict = move |report: &Report| {
            passed(report)?;
            match freed(&report.log, false) {
                Err(found) if found == why => Ok(()),
                Err(found) => Err(found),
                Ok(()) => Err("nobody notices".to_owned()),
            }
        };
        guests.push(guest(what, Box::new(verdict)));
    }
    guests
}

/// A fault of the port: a change in one of its C sources.
pub(super) struct Fault {
    pub(super) name: &'static str,
    /// Whose module it is, and what the conformance program runs that has to notice.
    pub(super) plugin: &'static str,
    pub(super) run: &'static [&'static str],
    pub(super) file: &'static str,
    /// What is there, exactly once.
    pub(super) find: &'static str,
    /// What is put there instead.
    pub(super) replace: &'static str,
    /// Why the run fails: what one kernel or another says of it.
    pub(super) reasons: &'static [&'static str],
    /// A part of what the program says, or the kernel.
    pub(super) says: &'static str,
}

pub(super) const INTERRUPT: &[&str] = &["planted", "interrupt"];

const FAULTS: [Fault; 6] = [
    Fault {
        name: "warns",
        plugin: "edu",
        run: INTERRUPT,
        file: "node.c",
        find: "\tfile->private_data = session;\n",
        replace: "\tfile->private_data = session;\n\tWARN_ON(1);\n",
        reasons: &["kernel log: WARNING: CPU: * at *node.c:* kp_open*[kp_edu]"],
        says: "",
    },
    Fault {
        name: "leaves an irq",
        plugin: "edu",
        run: INTERRUPT,
        file: "irq.c",
        find: "\t\tfree_irq(vector->irq, vector);\n",
        replace: "",
        reasons: &["kernel log: remove_proc_entry: removing non-empty directory 'irq/*', leaking at least 'kp_edu'"],
        says: "",
    },
    Fault {
        name: "sleeps in a DPC",
        plugin: "edu",
        run: INTERRUPT,
        file: "irq.c",
        find: "\tkp_rs_dpc(vector->device->cookie, vector->index);\n",
        replace: "\tschedule_timeout_uninterruptible(1);\n\tkp_rs_dpc(vector->device->cookie, vector->index);\n",
        reasons: &[
            "kernel log: BUG: scheduling while atomic: *",
            // PREEMPT_RT, where a softirq may be preempted, but is inside RCU.
            "kernel log: Voluntary context switch within RCU read-side critical section!",
        ],
        says: "",
    },
    Fault {
        name: "forgets a message on its way",
        plugin: "trouble",
        run: &["planted", "on-its-way"],
        file: "irq.c",
        find: "\tkp_drain_messages(device);\n",
        replace: "\t(void)kp_drain_messages;\n",
        reasons: &["step 0: failed: * planted on-its-way: exit status 101"],
        says: "a message on its way is waited for",
    },
    Fault {
        name: "has no memory for vectors",
        plugin: "edu",
        run: INTERRUPT,
        file: "irq.c",
        find: "\tif (!device->vectors) {\n",
        replace: "\tkvfree(device->vectors);\n\tdevice->vectors = NULL;\n\tif (!device->vectors) {\n",
        reasons: &["step 0: failed: * planted interrupt: exit status 101"],
        says: "an interrupt can be enabled: NoMemory",
    },
    Fault {
        name: "opens what is removed",
        plugin: "edu",
        run: &["nodes", "race"],
        file: "node.c",
        find: "kp_rs_open(minor->node->bound,",
        replace: "kp_rs_open(({ struct kp_bound_device *bound = minor->node->bound; up_read(&minor->lock); \
                  schedule_timeout_uninterruptible(1); down_read(&minor->lock); bound; }),",
        // What is freed is overwritten, so that it has too many sessions, or leads nowhere.
        reasons: &["step 0: failed: * nodes race: exit status 1", "kernel log: *"],
        says: "",
    },
];

/// A module with each of the port's faults, one at a time; and edu without, which must pass.
fn faults(kernel: &str, program: &Path, setup: bool) -> Result<Vec<Guest>> {
    let whole = modules(kernel, &["edu"], setup)?;
    let mut guests = vec![Guest {
        name: format!("{kernel}: no fault"),
        vm: guest(&whole, program, &["interrupt"]),
        verdict: Box::new(clean),
    }];
    for fault in FAULTS {
        guests.push(with_fault(fault, &whole.kernel, program)?);
    }
    Ok(guests)
}

/// A guest with the fault, which has to be noticed.
pub(super) fn with_fault(fault: Fault, kernel: &kernels::Kernel, program: &Path) -> Result<Guest> {
    let file = plant(&fault, kernel).with_context(|| format!("cannot build the module that {}", fault.name))?;
    let planted = Modules { kernel: kernel.clone(), files: vec![file] };
    Ok(Guest {
        name: format!("{}: {}", kernel.name, fault.name),
        vm: program_guest(&planted, program, fault.run).kernel_arg(POISON),
        verdict: Box::new(move |report| {
            fails(report, fault.reasons)?;
            let said = report.output.iter().chain(&report.log).any(|line| line.contains(fault.says));
            if said || fault.says.is_empty() { Ok(()) } else { Err(format!("nobody says: {}", fault.says)) }
        }),
    })
}

/// Builds a plugin's module from changed sources, apart from the good one.
fn plant(fault: &Fault, kernel: &kernels::Kernel) -> Result<PathBuf> {
    let mut plugin = build::select(Some(fault.plugin), Path::new("."))?;
    let mut object = build::object(&plugin, &build::Instrumentation::of(kernel)?, &|_| {})?;
    plugin.output = plugin.output.join("planted").join(fault.name.replace(' ', "-"));
    let sources = plugin.output.join("kbuild");
    build::copy(&object.kbuild, &sources)?;
    let path = sources.join(fault.file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let times = text.matches(fault.find).count();
    if times != 1 {
        bail!("{:?} is {times} times in {}, not once: mend the fault in cargo-kp's planted.rs", fault.find, fault.file);
    }
    fs::write(&path, text.replace(fault.find, fault.replace))?;
    object.kbuild = sources;
    build::module(&plugin, &object, kernel)
}

/// The callbacks that panic, in the order of the conformance program, each with what is live after the unload. A session whose
/// `open` or `close` never returned stays, and with it the device's record and the plugin: its locks, its mapping, its link to the device. Besides there
/// is what the dead task's stack owned: the data of OPEN or INT_ENABLE, the vectors of an enabling.
const PANICS: [(&str, &str); 5] = [
    ("call", "7 allocations, 18 locks, 1 mappings"),
    ("open", "8 allocations, 18 locks, 1 mappings"),
    ("close", "7 allocations, 18 locks, 1 mappings"),
    ("int_enable", "8 allocations, 18 locks, 1 mappings"),
    ("call", "5 allocations, 18 locks, 1 mappings"), // and then the device is unbound
];

/// A panic in each callback that a request runs: the log has plugin, file and line, the process dies, the module unloads.
fn panics(kernel: &str, trouble: &Modules, program: &Path) -> Result<Guest> {
    let vm = expecting_panics(guest(trouble, program, &["panic"]))?;
    let verdict = |report: &Report| {
        passed(report)?;
        let said = report.log.iter().filter_map(|line| line.split_once("kp_trouble: unloaded; live: "));
        let said: Vec<&str> = said.map(|(_, live)| live.trim()).collect();
        let nothing = "0 allocations, 0 locks, 0 mappings"; // the last one has not panicked
        let due: Vec<&str> = PANICS.iter().map(|(_, live)| *live).chain([nothing]).collect();
        if said == due { Ok(()) } else { Err(format!("left behind: {said:?}")) }
    };
    Ok(Guest { name: format!("{kernel}: panics"), vm, verdict: Box::new(verdict) })
}

/// A call panics while work is under way, and the module is unloaded.
fn busy_work(clockwork: &Modules, program: &Path) -> Guest {
    let vm = expecting_a_panic_beside_work(program_guest(clockwork, program, &["clockwork-panic"]));
    Guest { name: format!("{}: work that outlives a panic", clockwork.kernel.name), vm, verdict: Box::new(passed) }
}

/// A guest whose log has to have the report of clockwork's panic.
pub fn expecting_a_panic_beside_work(vm: Vm) -> Vm {
    vm.expect(Expected::line("kp_clockwork: panicked at tests/plugins/clockwork/plugin/src/lib.rs:*: planted"))
        .expect(Expected::oops("*invalid opcode: 0000 [#1]*"))
}

/// A guest whose log has to have the reports of these panics.
pub fn expecting_panics(mut vm: Vm) -> Result<Vm> {
    let source = build::select(Some("trouble"), Path::new("."))?.dir.join("src/lib.rs");
    let source = fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    for (at, (place, _)) in PANICS.iter().enumerate() {
        let mark = format!("// panics: {place}");
        let line = source.lines().position(|line| line.ends_with(&mark)).with_context(|| format!("no {mark}"))? + 1;
        let file = "tests/plugins/trouble/plugin/src/lib.rs";
        vm = vm
            .expect(Expected::line(&format!(
                "kp_trouble: panicked at {file}:{line}:*: index out of bounds: the len is 4 but the index is {}",
                4 + at
            )))
            .expect(Expected::oops(&format!("*invalid opcode: 0000 [#{}]*", at + 1)));
    }
    Ok(vm)
}
