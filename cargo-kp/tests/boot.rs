//! Boots stock kernels with small C modules, to show that the runner passes what is sound and fails what is not.
//!
//! Slow, and in need of QEMU and Debian's kernels: `cargo test -p cargo-kp --test boot -- --ignored`.
#![cfg(unix)]

use cargo_kp::guest::plan::{Outcome, Step};
use cargo_kp::kernels::{self, Kernel};
use cargo_kp::vm::{Expected, Report, Stage, Verdict, Vm, ivshmem::Server};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Misbehaves as its parameters say: `warn` and `die` while it loads, `trip` when something is written to it later.
const MODULE: &str = r#"
#include <linux/module.h>
static int warn, die;
module_param(warn, int, 0);
module_param(die, int, 0);
static int trip(const char *value, const struct kernel_param *param) { BUG(); return 0; }
static const struct kernel_param_ops ops = { .set = trip };
module_param_cb(trip, &ops, NULL, 0200);
static int __init specimen_init(void) { pr_info("specimen: up\n"); WARN_ON(warn); if (die) panic("planted"); return 0; }
static void __exit specimen_exit(void) { pr_info("specimen: down\n"); }
module_init(specimen_init);
module_exit(specimen_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("specimen");
"#;

fn build(kernel: &Kernel, test: &str, module: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", kernel.name));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("Kbuild"), "obj-m := specimen.o\n").unwrap();
    build_in(kernel, &dir, module)
}

/// Builds a module where its makefile is.
fn build_in(kernel: &Kernel, dir: &Path, module: &str) -> PathBuf {
    std::fs::write(dir.join("specimen.c"), module).unwrap();
    let mut make = Command::new("make");
    make.arg("-C").arg(&kernel.headers).arg(format!("M={}", dir.display())).arg("modules");
    let output = make.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir.join("specimen.ko")
}

/// A driver of QEMU's edu and nvme. It refuses edu as a plugin's module does.
const DRIVER: &str = r#"
#include <linux/module.h>
#include <linux/pci.h>
static int specimen_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	if (id->vendor != 0x1234)
		return 0;
	pr_info("specimen: init refused the device: WrongDevice\n");
	return -ENODEV;
}
static const struct pci_device_id specimen_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, { PCI_DEVICE(0x1b36, 0x0010) }, {} };
MODULE_DEVICE_TABLE(pci, specimen_ids);
static struct pci_driver specimen_driver = { .name = "specimen", .id_table = specimen_ids, .probe = specimen_probe };
module_pci_driver(specimen_driver);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("specimen");
"#;

fn load(params: &str) -> Step {
    let step = Step::load("/kp/specimen.ko");
    let Step::Load { path, nodes, expect, .. } = step else { unreachable!("it is a load") };
    Step::Load { path, params: params.into(), nodes, expect }
}

fn guest(kernel: &Kernel, test: &str) -> Vm {
    Vm::new(kernel)
        .init(env!("CARGO_BIN_EXE_cargo-kp"))
        .file(build(kernel, test, MODULE), "/kp/specimen.ko")
        .program("/bin/sh", "/bin/sh")
        .timeout(Duration::from_secs(300))
}

fn kernel(name: &str) -> Kernel {
    kernels::get(name, false).unwrap()
}

fn run(vm: Vm) -> Report {
    vm.run(&mut |_| {}).unwrap()
}

fn why(report: &Report) -> &str {
    match &report.verdict {
        Verdict::Failed(why) => why,
        Verdict::Passed => panic!("it passed; its log: {:#?}", report.log),
    }
}

#[test]
#[ignore = "boots kernels; run by `cargo kp test --long`"]
fn on_every_kernel_a_sound_module_loads_runs_a_program_unloads_and_leaves_a_whole_log() {
    for name in kernels::names() {
        let vm = guest(&kernel(&name), "sound")
            .cpus(2)
            .step(load(""))
            .step(Step::run(&["/bin/sh", "-c", "echo one; echo two >&2"]))
            .step(Step::unload("specimen"))
            .expect(Expected::line("specimen: up"))
            .expect(Expected::line("specimen: down"));
        let report = run(vm);
        assert_eq!(report.verdict, Verdict::Passed, "{name}: {:#?}", report.log);
        assert_eq!(report.output, ["one", "two"]);
        println!("{name}: {:.1} s", report.seconds);
    }
}

#[test]
#[ignore = "boots kernels"]
fn on_every_kernel_a_planted_warning_fails_the_run_and_is_named() {
    for name in kernels::names() {
        let report = run(guest(&kernel(&name), "warning").step(load("warn=1")));
        assert!(why(&report).starts_with("kernel log: WARNING: CPU: "), "{name}: {}", why(&report));
    }
}

#[test]
#[ignore = "boots kernels"]
fn a_panic_fails_the_run() {
    let report = run(guest(&kernel("6.12-rt"), "panic").step(load("die=1")));
    assert_eq!(why(&report), "kernel log: Kernel panic - not syncing: planted");
}

#[test]
#[ignore = "boots kernels"]
fn an_expected_oops_passes_and_an_unexpected_one_does_not() {
    for name in ["6.1-cloud", "6.12-cloud"] {
        let trip = Step::run(&["/bin/sh", "-c", "echo 1 > /sys/module/specimen/parameters/trip"]);
        let vm = guest(&kernel(name), "oops").step(load("")).step(trip.expecting(Outcome::Signal(11)));
        let report = run(vm.clone());
        assert!(why(&report).starts_with("kernel log: kernel BUG at "), "{name}: {}", why(&report));
        let report = run(vm.expect(Expected::oops("kernel BUG at *")));
        assert_eq!(report.verdict, Verdict::Passed, "{name}: {:#?}", report.log);
    }
}

#[test]
#[ignore = "boots kernels"]
fn a_step_that_ends_otherwise_than_planned_fails_the_run_and_says_how() {
    let kernel = kernel("6.1-cloud");
    let report = run(guest(&kernel, "steps").step(Step::run(&["/bin/sh", "-c", "exit 3"])).step(load("")));
    assert_eq!(why(&report), "step 0: failed: /bin/sh -c exit 3: exit status 3");
    assert_eq!(report.steps, ["step 0: failed: /bin/sh -c exit 3: exit status 3", "step 1: ok"]);
    let report = run(guest(&kernel, "steps").step(Step::unload("specimen").expecting(Outcome::Errno(2))));
    assert_eq!(report.verdict, Verdict::Passed);
}

#[test]
#[ignore = "boots kernels"]
fn a_machine_that_is_booted_anew_has_all_its_devices() {
    let server = Server::start(1).expect("a server");
    let vm = guest(&kernel("6.1-cloud"), "anew").kernel_arg("rdinit=/nothing");
    let report = run(server.attach(vm).step(Step::run(&["/bin/true"])));
    assert_eq!(report.stage, Stage::Boot, "{}", why(&report));
    assert!(why(&report).contains("Unable to mount root fs"), "{}", why(&report));
}

#[test]
#[ignore = "needs QEMU"]
fn what_qemu_refuses_is_not_tried_again() {
    let report = run(guest(&kernel("6.1-cloud"), "refused").device("no-such-device"));
    assert_eq!(report.stage, Stage::Refused);
    assert!(why(&report).contains("'no-such-device' is not a valid device model name"), "{}", why(&report));
    assert_eq!(report.log.len(), 1, "{:?}", report.log);
}

#[test]
#[ignore = "boots kernels"]
fn a_guest_that_does_not_end_is_ended() {
    let vm = guest(&kernel("6.1-cloud"), "timeout").step(Step::run(&["/bin/sh", "-c", "while :; do :; done"]));
    let report = run(vm.timeout(Duration::from_secs(8)));
    assert!(why(&report).starts_with("the guest did not end within 8 s"), "{}", why(&report));
    assert!(report.seconds < 60.0);
}

#[test]
#[ignore = "boots kernels"]
fn a_kernel_that_does_not_get_to_its_first_process_is_ended_by_a_limit_of_its_own() {
    let vm = guest(&kernel("6.1-cloud"), "boot-limit").boot_limit(Duration::from_millis(500));
    let report = run(vm);
    assert_eq!(report.stage, Stage::Boot);
    let why = why(&report);
    assert!(why.starts_with("the kernel did not get to its first process within 0 s"), "{why}");
    assert!(report.seconds < 5.0);
}

/// Runs `cargo kp vm` with these arguments. `Err`: what it says on stderr.
fn command(arguments: &[&str]) -> Result<(), String> {
    let mut vm = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    let output = vm.args(["kp", "vm"]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// The same with the driver. `Err`: the last line.
fn vm(kernel: &str, test: &str, arguments: &[&str]) -> Result<(), String> {
    let module = build(&self::kernel(kernel), test, DRIVER);
    let module = ["--module", module.to_str().unwrap()];
    command(&[&module, arguments].concat()).map_err(|said| said.lines().last().unwrap_or_default().to_owned())
}

#[test]
#[ignore = "boots kernels"]
fn a_line_of_the_log_that_fails_the_run_is_told_apart_from_the_rest_and_may_be_allowed() {
    let warn = ["--", "/bin/sh", "-c", "echo '<4>card 7: hm' > /dev/kmsg"];
    let said = command(&warn).expect_err("a warning");
    let told: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("failed by")).take(5).collect();
    assert_eq!(told, ["failed by this line of the kernel's log:", "", "  > card 7: hm", "", "all of it:"], "{said}");
    let why = "error: kernel log: card 7: hm; if it is not the module's fault, --allow PATTERN lets such lines pass";
    assert_eq!(said.lines().last(), Some(why));
    command(&[&["--allow", "card *: hm"][..], &warn].concat()).expect("it is allowed");
}

/// A disk that the kernel's own driver takes while it boots.
const NVME: &str = "nvme,serial=1,addr=8";

#[test]
#[ignore = "boots kernels"]
fn a_module_without_a_device_fails_the_command_which_says_that_none_is_there_who_has_it_or_what_init_said() {
    let why = |arguments| vm("6.12-cloud", "no-device", arguments).expect_err("no device");
    let failed = |text| format!("error: step 1: failed: specimen has no device: {text}");
    let none = "there is no PCI device 1234:11e8 or 1b36:0010 on the bus; add one with --device";
    assert_eq!(why(&[]), failed(none));
    let held = "driver nvme has 0000:00:08.0 (1b36:0010); take it with --take";
    assert_eq!(why(&["--device", NVME, "--", "/bin/false"]), failed(held));
    let refused = "`init` refused 0000:00:08.0 (1234:11e8): WrongDevice; see above what it has logged";
    assert_eq!(why(&["--device", "edu,addr=8"]), failed(refused));
}

#[test]
#[ignore = "boots kernels"]
fn a_device_is_taken_from_its_driver_by_the_tool_or_by_the_program() {
    let is_there = ["--", "/bin/sh", "-c", "test -e /sys/bus/pci/drivers/specimen/0000:00:08.0"];
    let arguments = [&["--device", NVME, "--take"][..], &is_there].concat();
    vm("6.1-cloud", "taken", &arguments).expect("the tool has taken it");
    let binds = "cd /sys/bus/pci/devices/0000:00:08.0 && echo specimen > driver_override \
                 && echo 0000:00:08.0 > driver/unbind && echo 0000:00:08.0 > /sys/bus/pci/drivers_probe";
    vm("6.12-cloud", "taken", &["--device", NVME, "--", "/bin/sh", "-c", binds]).expect("the program has bound it");
}

#[test]
#[ignore = "boots kernels"]
fn a_kernel_that_lets_no_program_use_ports_is_switched_off_and_its_run_is_judged_alike() {
    let locked = ["--kernel", "6.12-cloud", "--append", "lockdown=integrity", "--", "/bin/sh", "-c"];
    let judged = |program| command(&[&locked[..], &[program]].concat());
    judged("exit 0").expect("it is switched off in the end");
    let why = judged("exit 3").expect_err("the program failed");
    assert!(why.ends_with("error: step 0: failed: /kp/sh -c exit 3: exit status 3\n"), "{why}");
}

/// A module that another one needs. It warns while it loads, as a vendor's may.
const BASE: &str = r#"
#include <linux/module.h>
int specimen_base(void) { return 7; }
EXPORT_SYMBOL_GPL(specimen_base);
static int __init base_init(void) { pr_warn("base: hm\n"); return 0; }
static void __exit base_exit(void) { }
module_init(base_init);
module_exit(base_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("base");
"#;

/// The one that needs it.
const NEEDY: &str = r#"
#include <linux/module.h>
int specimen_base(void);
static int __init specimen_init(void) { pr_info("specimen: %d\n", specimen_base()); return 0; }
static void __exit specimen_exit(void) { }
module_init(specimen_init);
module_exit(specimen_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("specimen");
"#;

#[test]
#[ignore = "boots kernels"]
fn a_kernel_is_booted_from_its_image_alone_and_what_a_module_needs_is_loaded_first_and_is_not_judged() {
    let kernel = kernel("6.12-cloud");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("needs-6.12-cloud");
    let tree = dir.join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(dir.join("specimen-base.c"), BASE).unwrap();
    std::fs::write(dir.join("Kbuild"), "obj-m := specimen.o specimen-base.o\n").unwrap();
    let module = build_in(&kernel, &dir, NEEDY);
    std::fs::rename(dir.join("specimen-base.ko"), tree.join("specimen-base.ko")).unwrap();
    std::fs::write(tree.join("modules.dep"), "specimen-base.ko:\n").unwrap();
    let [image, tree, module] = [&kernel.vmlinuz, &tree, &module].map(|path| path.to_str().unwrap());
    let arguments = ["--image", image, "--memory", "1G", "--boot-limit", "300", "--module", module];
    let program = [
        "--",
        "/bin/sh",
        "-c",
        "read name kilobytes rest < /proc/meminfo; test $kilobytes -gt 900000 && test -d /sys/module/specimen_base",
    ];
    command(&[&arguments[..], &["--modules", tree], &program].concat()).expect("it has what it needs");
    let why = command(&arguments).expect_err("nobody has it");
    assert!(
        why.ends_with(&format!(
            "needs specimen-base: name the folder with the modules of its kernel, as in --modules /lib/modules/{}\n",
            kernel.release
        )),
        "{why}"
    );
}
