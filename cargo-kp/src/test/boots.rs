//! Stages that boot guests: which kernels run what, and how each has to end.
use super::{
    log::Log,
    registered,
    report::{freed, keep, passed, with_log},
    stage::{Stage, Tally, first_panic, two_at_a_time},
};
use crate::{
    guest::plan::Step,
    host::{self, PROGRAM},
    kernels,
    packages::{Packages, Purpose, ThisMachine},
    programs,
    vm::{Expected, Report, Vm, ivshmem::Server},
};
use anyhow::Result;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// One guest: booted, made to run these programs, and judged by its log.
struct Boot {
    kernel: String,
    kernel_args: &'static [&'static str],
    devices: &'static [&'static str],
    /// How much memory it has, in MiB.
    memory: u32,
    /// Plugins whose modules the guest has.
    plugins: &'static [&'static str],
    /// Vectors of the ivshmem-doorbell that the guest has; 0 if it has none.
    vectors: u16,
    /// It has udev's daemon, and the rules that the build has made.
    udev: bool,
    /// Arguments of the conformance program, one run after the other.
    runs: Vec<Vec<String>>,
    /// Lines that the log must have, once each.
    expected: Vec<Expected>,
    /// It brings about a panic on purpose, after which modules may leave something behind.
    leaks: bool,
    timeout: Duration,
}

impl Boot {
    fn new(kernel: &str, runs: Vec<Vec<String>>) -> Self {
        Self {
            kernel: kernel.to_owned(),
            kernel_args: &[],
            devices: &[],
            memory: 512,
            plugins: &["echo", "edu", "bmd"],
            vectors: 0,
            udev: false,
            runs,
            expected: Vec::new(),
            leaks: false,
            timeout: Duration::from_secs(300),
        }
    }

    fn with(mut self, kernel_args: &'static [&'static str]) -> Self {
        self.kernel_args = kernel_args;
        self
    }

    fn name(&self) -> String {
        let args: Vec<String> = self.kernel_args.iter().map(|arg| format!("+{arg}")).collect();
        format!("{}{}", self.kernel, args.concat())
    }
}

/// The scenario, as every host runs it.
fn scenario() -> Vec<String> {
    ["--host", "guest"].map(str::to_owned).to_vec()
}

/// The kernel that is enough to run it with `threadirqs`.
const THREADIRQS: &str = "6.1-cloud";
/// The kernel in which devices transfer.
const TRANSFERS: &str = "6.12-cloud";
/// Those of which one more of the same version, with other options, tells no more, but in a long run.
const OF_EACH_VERSION: [&str; 3] = ["6.12-cloud", "6.1-cloud", "6.12-rt"];
/// An old one, and a new one whose handlers are threads.
const OLD_AND_NEW: [&str; 2] = ["6.12-rt", "6.1-cloud"];

/// The kernels of which a machine is made that sleeps.
pub(super) const SLEEPERS: [&str; 2] = ["6.1", "6.12"];
/// The kernels that are enough for the nodes of several devices: an old one, and a new one.
const NODES: [&str; 2] = ["6.1-cloud", "6.12-cloud"];
/// What is freed is overwritten, so that nobody uses it and gets away with it.
pub const POISON: &str = "slub_debug=P";
/// Beside the device that each guest has.
const TWO_MORE: &[&str] = &["edu,addr=8", "edu,addr=9"];
/// And one with ports, and three of PCI Express, each behind a port of its own.
const SIX_MORE: &[&str] = &[
    "edu,addr=8",
    "edu,addr=9",
    "pci-testdev",
    "pcie-root-port,id=first,chassis=1,slot=1",
    "e1000e,bus=first",
    "pcie-root-port,id=second,chassis=2,slot=2",
    "virtio-rng-pci,bus=second",
    "pcie-root-port,id=third,chassis=3,slot=3",
    "rocker,name=switch,bus=third",
];

/// A controller that can be reset by itself.
pub(super) const NVME: &str = "nvme,serial=kp";
/// And a card whose frames come back.
const TRANSFERRING: &[&str] = &["e1000e", NVME];
/// Interrupts go where an IOMMU sends them.
const REMAPPED: &[&str] = &["intel-iommu,intremap=on"];
/// And what keeps it from all other memory.
const BEHIND_IOMMU: &[&str] = &["intel-iommu,intremap=on", "e1000e", NVME];

/// edu devices, all eight functions of each of these slots, which QEMU reads as hexadecimal.
macro_rules! functions {
    ($($slot:literal)*) => { &[$(
        concat!("edu,addr=", $slot, ".0,multifunction=on"),
        concat!("edu,addr=", $slot, ".1"),
        concat!("edu,addr=", $slot, ".2"),
        concat!("edu,addr=", $slot, ".3"),
        concat!("edu,addr=", $slot, ".4"),
        concat!("edu,addr=", $slot, ".5"),
        concat!("edu,addr=", $slot, ".6"),
        concat!("edu,addr=", $slot, ".7"),
    )*] };
}
/// More than the 128 dynamic numbers that misc devices share on old kernels.
const OVER_128: &[&str] = functions!("8" "9" "a" "b" "c" "d" "e" "f" "10" "11" "12" "13" "14" "15" "16" "17");

/// A guest of this kernel for the scenario, and what is registered for it.
fn in_kernel(kernel: &str, long: bool) -> Result<Boot> {
    let runs = [scenario()].into_iter().chain(registered::runs("scenario", long)?).collect();
    Ok(Boot::new(kernel, runs))
}

fn hostile(kernel: &str, long: bool) -> Result<Boot> {
    Ok(Boot::new(kernel, registered::runs("hostile", long)?))
}

fn torn_down(kernel: &str, long: bool) -> Result<Boot> {
    let runs = registered::runs("tear-down", long)?;
    let boot = Boot::new(kernel, runs);
    // Where `init` is to refuse a device.
    let expected = vec![Expected::line("*kp_trouble*: probe * failed with error -12*")];
    let plugins = &["echo", "edu", "trouble", "clockwork", "eduown"];
    Ok(Boot { plugins, expected, timeout: Duration::from_secs(600), ..boot })
}

fn nodes(kernel: &str, long: bool) -> Result<Boot> {
    let boot = Boot::new(kernel, registered::runs("nodes", long)?);
    Ok(Boot { plugins: &["edu", "selftest", "testdev", "pcie"], devices: SIX_MORE, ..boot }.with(&[POISON]))
}

fn transferring(kernel: &str, stage: &str, long: bool) -> Result<Boot> {
    let boot = Boot::new(kernel, registered::runs(stage, long)?);
    // The last one has coherent memory and nothing else of the kind: that it builds says something by itself.
    Ok(Boot {
        plugins: &["loopback", "bmd", "edu28", "nvme"],
        devices: TRANSFERRING,
        timeout: Duration::from_secs(1200),
        ..boot
    })
}

fn in_bulk(kernel: &str, long: bool) -> Result<Boot> {
    transferring(kernel, "dma", long)
}

/// Guests in which devices transfer: as the machine is; with an IOMMU, which forgets at once what is unmapped. In a long run also with memory that
/// devices of 32 bits do not reach; with copies of all that devices see; and with a device of 28 bits.
fn dma(long: bool) -> Result<Vec<Boot>> {
    let boot = |stage: &str| transferring(TRANSFERS, stage, long);
    let iommu = Boot { devices: BEHIND_IOMMU, ..boot("dma")? }.with(&["intel_iommu=on", "iommu.strict=1"]);
    let high = Boot { memory: 6 << 10, ..boot("dma")? };
    let low = Boot { plugins: &["edu28"], memory: 4 << 10, ..boot("dma-low")? };
    let mut boots = vec![boot("dma")?.with(&[POISON]), iommu];
    if long {
        boots.extend([high, boot("dma")?.with(&["swiotlb=force"]), low]);
    }
    Ok(boots)
}

/// An IOMMU moves the interrupts: Linux by itself moves a message without mask bits, as edu's is, in two writes, and one between them goes astray.
fn changing(kernel: &str, long: bool) -> Result<Boot> {
    let boot = Boot::new(kernel, registered::runs("machine", long)?);
    Ok(Boot { plugins: &["echo", "edu", "trouble"], devices: REMAPPED, timeout: Duration::from_secs(600), ..boot })
}

/// A hundred loads and unloads: two modules in each round.
fn loaded_often(kernel: &str, _: bool) -> Result<Boot> {
    let run = ["stress", "rounds", "50"].map(str::to_owned).to_vec();
    Ok(Boot { timeout: Duration::from_secs(600), ..Boot::new(kernel, vec![run]) })
}

/// What these stages run, in guests of this kernel; and in each of them `last` at the end.
pub fn run_in(kernel: &str, last: &[Vec<String>], setup: bool, log: &Log) -> Result<Tally> {
    let mut boots = Vec::new();
    for boot in [in_kernel, hostile, torn_down, nodes, in_bulk, changing, loaded_often] {
        let mut boot = boot(kernel, false)?;
        boot.runs.extend_from_slice(last);
        boots.push(boot);
    }
    run(&boots, setup, log)
}

/// The kernels of a stage that has no time for all, but in a long run.
pub(super) fn of_each_version(long: bool) -> Vec<String> {
    enough_or_all(&OF_EACH_VERSION, long)
}

/// Those that are enough, or in a long run all. The one that takes longest comes first, so that none is left to run alone.
fn enough_or_all(enough: &[&str], long: bool) -> Vec<String> {
    let all = kernels::names().into_iter().filter(|kernel| long && !enough.contains(&kernel.as_str()));
    enough.iter().map(|&kernel| kernel.to_owned()).chain(all).collect()
}

/// All of them, in order. What runs in a guest beside the scenario is what the conformance program has registered for the stage.
pub fn stages(long: bool) -> Vec<Stage> {
    let in_kernels = {
        let every = kernels::names();
        move |setup, log: &Log| {
            let mut boots = every.iter().map(|kernel| in_kernel(kernel, long)).collect::<Result<Vec<_>>>()?;
            // An RT kernel always has its handlers in threads.
            let threadirqs = |kernel: &&str| *kernel == THREADIRQS || long && !kernel.ends_with("-rt");
            let in_threads = every.iter().map(String::as_str).filter(threadirqs);
            boots.extend(in_threads.map(|kernel| Boot::new(kernel, vec![scenario()]).with(&["threadirqs"])));
            // An idle processor that polls takes what others ask of it outside of interrupts, where an RT kernel looks at what it does.
            let rt = every.iter().filter(|kernel| kernel.ends_with("-rt"));
            boots.extend(rt.map(|kernel| Boot::new(kernel, vec![scenario()]).with(&["idle=poll"])));
            run(&boots, setup, log)
        }
    };
    let tear_down = move |setup, log: &Log| {
        let kernels = enough_or_all(&OLD_AND_NEW, long);
        let mut boots = kernels.iter().map(|kernel| torn_down(kernel, long)).collect::<Result<Vec<_>>>()?;
        if long {
            boots.push(torn_down("6.12", long)?.with(&["threadirqs"]));
        }
        run(&boots, setup, log)
    };
    let bad_requests = move |setup, log: &Log| {
        let kernels = enough_or_all(&OLD_AND_NEW, long);
        run(&kernels.iter().map(|kernel| hostile(kernel, long)).collect::<Result<Vec<_>>>()?, setup, log)
    };
    let msix = move |setup, log: &Log| {
        let runs = registered::runs("msix", long)?;
        let boot = |kernel: &str| Boot { plugins: &["ivshmem"], vectors: 8, ..Boot::new(kernel, runs.clone()) };
        let mut boots: Vec<Boot> = enough_or_all(&OLD_AND_NEW, long).iter().map(|kernel| boot(kernel)).collect();
        if long {
            boots.push(boot("6.12").with(&["threadirqs"]));
        }
        run(&boots, setup, log)
    };
    let several = move |setup, log: &Log| {
        let mut boots = NODES.iter().map(|kernel| nodes(kernel, long)).collect::<Result<Vec<_>>>()?;
        let many = registered::runs("many-nodes", long)?;
        boots.push(Boot { plugins: &["edu"], devices: OVER_128, ..Boot::new(NODES[0], many) });
        run(&boots, setup, log)
    };
    let links = move |setup, log: &Log| {
        Packages::new(&ThisMachine).require(&[Purpose::Udev], setup)?;
        let runs = registered::runs("links", long)?;
        let boot = Boot { plugins: &["edu"], devices: TWO_MORE, udev: true, ..Boot::new(NODES[1], runs) };
        run(&[boot], setup, log)
    };
    // A plain run has 32-bit apps in C, over bindings.
    let app_32bit = |setup, log: &Log| {
        let runs: Vec<Vec<String>> = [scenario()].into_iter().chain(registered::runs("32-bit", true)?).collect();
        let boots: Vec<Boot> = kernels::names().iter().map(|kernel| Boot::new(kernel, runs.clone())).collect();
        run_program(&boots, &programs::build_32bit("conformance", setup)?, setup, log)
    };
    let machine = move |setup, log: &Log| {
        run(&SLEEPERS.iter().map(|kernel| changing(kernel, long)).collect::<Result<Vec<_>>>()?, setup, log)
    };
    let mut stages = vec![
        Stage::new("scenario in every kernel", in_kernels),
        Stage::new("hostile requests", bad_requests),
        Stage::new("tear-down", tear_down),
        Stage::new("MSI-X", msix),
        Stage::new("nodes of several devices", several),
        Stage::new("transfers of devices", move |setup, log| run(&dma(long)?, setup, log)),
        Stage::new("links by path", links),
    ];
    if long {
        stages.push(Stage::new("a 32-bit app", app_32bit));
        stages.push(Stage::new("a machine that changes", machine));
    }
    stages.into_iter().map(Stage::beside_another).collect()
}

/// Boots all, two at a time. Each program is a test, and each log.
fn run(boots: &[Boot], setup: bool, log: &Log) -> Result<Tally> {
    run_program(boots, &programs::build("conformance")?, setup, log)
}

/// The same, with another build of the conformance program.
fn run_program(boots: &[Boot], program: &Path, setup: bool, log: &Log) -> Result<Tally> {
    // Modules are built one after the other, as it is one object for all kernels; those of the next guest while one runs.
    let next = |boot| modules_of(boot, setup);
    Ok(two_at_a_time(boots.iter(), next, |(boot, modules)| match modules {
        Ok(modules) => boot_one(boot, &modules, program, log),
        Err(error) => {
            let mut failed = Tally::default();
            failed.report(&boot.name(), Err(format!("{error:#}")));
            failed
        }
    }))
}

fn modules_of(boot: &Boot, setup: bool) -> (&Boot, Result<host::Modules>) {
    (boot, host::modules(&boot.kernel, boot.plugins, setup))
}

fn boot_one(boot: &Boot, modules: &host::Modules, program: &Path, log: &Log) -> Tally {
    let mut vm = modules.guest(program).cpus(2).timeout(boot.timeout * modules.kernel.patience());
    for arg in boot.kernel_args {
        vm = vm.kernel_arg(arg);
    }
    for device in boot.devices {
        vm = vm.device(device);
    }
    vm = vm.memory(boot.memory.max(modules.memory()));
    if boot.udev {
        vm = with_udev(vm, &modules.files);
    }
    for run in &boot.runs {
        let argv: Vec<&str> = [PROGRAM].into_iter().chain(run.iter().map(String::as_str)).collect();
        vm = vm.step(Step::run(&argv));
    }
    for expected in &boot.expected {
        vm = vm.expect(expected.clone());
    }
    let start = Instant::now();
    let served = match boot.vectors {
        0 => vm.run(&mut |_| {}),
        vectors => Server::start(vectors).and_then(|server| server.attach(vm).run(&mut |_| {})),
    };
    match served {
        Ok(report) => {
            keep(log, &format!("{}: {:.0} s", boot.name(), start.elapsed().as_secs_f64()), &report);
            judge(boot, &report)
        }
        Err(error) => {
            let mut tally = Tally::default();
            tally.report(&boot.name(), Err(format!("{error:#}")));
            tally
        }
    }
}

/// Puts udev's daemon into a guest, and the rules that lie beside the modules.
fn with_udev(vm: Vm, modules: &[PathBuf]) -> Vm {
    // One program, which goes by its name.
    let mut vm = vm.program("/bin/udevadm", "/kp/systemd-udevd");
    for module in modules {
        let name = module.file_stem().expect("a module has a name").to_string_lossy();
        let rules = format!("70-{name}.rules");
        vm = vm.file(module.with_file_name(&rules), &format!("/etc/udev/rules.d/{rules}"));
    }
    vm
}

/// One test for each program that ran, one for what the modules said when they were unloaded, and one for how it all ended.
fn judge(boot: &Boot, report: &Report) -> Tally {
    let mut tally = Tally::default();
    for (at, run) in boot.runs.iter().enumerate() {
        let ok = report.steps.iter().any(|line| *line == format!("step {at}: ok"));
        let why = || first_panic(report.output.iter().map(String::as_str)).unwrap_or("see below".into());
        tally.report(&format!("{}: {}", boot.name(), run.join(" ")), if ok { Ok(()) } else { Err(why()) });
    }
    tally.check(&format!("{}: what modules leave behind", boot.name()), freed(&report.log, boot.leaks));
    tally.check(&format!("{}: how it ends", boot.name()), passed(report).map_err(|why| with_log(why, report)));
    tally
}
