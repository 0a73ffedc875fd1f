//! `cargo kp vm`.

use super::judge::is_bad;
use super::progress::Progress;
use super::qemu::DID_NOT_END;
use super::{Expected, Report, Stage, Verdict, Vm};
use crate::command::Command;
use crate::guest::plan::{self, Step, Wanted};
use crate::kernels;
use crate::packages::{Packages, Purpose, ThisMachine};
use anyhow::{Result, anyhow, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Boots a stock kernel, loads modules, runs a program there, unloads the modules, and judges the kernel's log. A module that is made
/// for PCI devices has to find one.
#[derive(Debug, Args)]
pub struct VmArgs {
    /// The kernel: one of those in kernels.toml, or the folder that one was built in. Without it: the one that the first module is built for,
    /// else 6.1-cloud.
    #[arg(long)]
    pub kernel: Option<String>,
    /// A module to load; may be repeated. Unloaded in reverse order at the end.
    #[arg(long = "module", value_name = "FILE")]
    pub modules: Vec<PathBuf>,
    /// A file to put into the guest as it is, or a folder with all that is in it; may be repeated. Without GUEST: at the same path.
    #[arg(long = "file", value_name = "HOST[:GUEST]")]
    pub files: Vec<String>,
    /// A device to add, as in QEMU's -device; may be repeated.
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    /// An argument to add to the kernel's command line; may be repeated.
    #[arg(long = "append", value_name = "ARGUMENT")]
    pub append: Vec<String>,
    /// Take the modules' devices from the drivers that have them.
    #[arg(long)]
    pub take: bool,
    /// Lines of the kernel's log that do not fail the run; each `*` stands for anything. May be repeated.
    #[arg(long = "allow", value_name = "PATTERN")]
    pub allow: Vec<String>,
    /// How many CPUs the guest gets.
    #[arg(long, default_value_t = 1)]
    pub cpus: u32,
    /// How long the guest may run, in seconds.
    #[arg(long, default_value_t = 120)]
    pub timeout: u64,
    /// Install missing packages first; needs root or sudo.
    #[arg(long)]
    pub setup: bool,
    /// Show the kernel's log at the end.
    #[arg(long)]
    pub log: bool,
    /// The program to run in the guest, and its arguments.
    #[arg(last = true)]
    pub program: Vec<String>,
}

impl Command for VmArgs {
    /// What the program prints goes to stdout. Fails if the guest does.
    fn run(self) -> Result<()> {
        let modules = self.modules.iter().map(|path| Module::read(path)).collect::<Result<Vec<_>>>()?;
        if self.take && modules.iter().all(|module| module.aliases.is_empty()) {
            bail!("--take: there is no module that is made for PCI devices; name one with --module");
        }
        let files = self.files.iter().map(|file| host_and_guest(file)).collect::<Result<Vec<_>>>()?;
        let program = self.program.split_first();
        if let Some((program, _)) = program.filter(|(program, _)| !Path::new(program).is_file()) {
            bail!("no program {program}: build it first, and name its file on this machine");
        }
        Packages::new(&ThisMachine).require(&[Purpose::Boot], self.setup)?;
        let kernel = match &self.kernel {
            Some(folder) if folder.contains('/') => kernels::built_in(Path::new(folder))?,
            Some(name) => kernels::get(name, self.setup)?,
            None => kernels::get(&kernel_of(&modules)?, self.setup)?,
        };
        let target = self.kernel.as_ref().unwrap_or(&kernel.name);
        modules.iter().try_for_each(|module| module.check(&kernel.release, target))?;
        let mut vm = Vm::new(&kernel).cpus(self.cpus).timeout(Duration::from_secs(self.timeout));
        for device in &self.devices {
            vm = vm.device(device);
        }
        for argument in &self.append {
            vm = vm.kernel_arg(argument);
        }
        for pattern in &self.allow {
            vm = vm.expect(Expected::lines(pattern));
        }
        for (host, guest) in files {
            vm = vm.file(host, guest);
        }
        for module in &modules {
            let guest = format!("/kp/{}.ko", module.name);
            vm = vm.file(&module.path, &guest).step(Step::load(&guest));
            if !module.aliases.is_empty() {
                vm = vm.step(Step::Bound(module.wanted(self.take)));
            }
        }
        if let Some((program, rest)) = program {
            let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
            let guest = format!("/kp/{name}");
            let argv: Vec<&str> = [guest.as_str()].into_iter().chain(rest.iter().map(String::as_str)).collect();
            vm = vm.program(program, &guest).step(Step::run(&argv));
        }
        for module in modules.iter().rev() {
            vm = vm.step(Step::unload(&module.name));
        }
        let progress = Progress::start(&format!("linux {}", kernel.release));
        let report = vm.run(&mut |line| progress.suspend(|| println!("{line}")))?;
        progress.finish(if report.verdict == Verdict::Passed { "passed" } else { "failed" });
        if self.log || report.verdict != Verdict::Passed {
            log_of(&report).iter().for_each(|line| eprintln!("{line}"));
        }
        match &report.verdict {
            Verdict::Passed => Ok(()),
            Verdict::Failed(why) => bail!("{why}{}", remedy(&report, why)),
        }
    }
}

/// The kernel's log for a person: the line that failed the run first, then all of them with that one marked.
fn log_of(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(line) = report.failed_by.and_then(|at| report.log.get(at)) {
        lines.extend(
            ["failed by this line of the kernel's log:", "", &format!("  > {line}"), "", "all of it:"]
                .map(str::to_owned),
        );
    }
    let mark = |at| if report.failed_by == Some(at) { "  > " } else { "    " };
    lines.extend(report.log.iter().enumerate().map(|(at, line)| format!("{}{line}", mark(at))));
    lines
}

/// What to do about a run that failed, where why it did does not say: it stands behind that, as in `; …`.
fn remedy(report: &Report, why: &str) -> &'static str {
    match report.failed_by.and_then(|at| report.log.get(at)) {
        Some(line) if !is_bad(line) => "; if it is not the module's fault, --allow PATTERN lets such lines pass",
        Some(_) => "",
        None if report.stage == Stage::Refused => {
            "; `qemu-system-x86_64 -device help` lists QEMU's devices, `-device NAME,help` what one takes"
        }
        None if report.stage == Stage::Process && why.starts_with(DID_NOT_END) => "; --timeout SECONDS gives it more",
        None => "",
    }
}

/// What `--file` names: a place on this machine, and one in the guest.
fn host_and_guest(file: &str) -> Result<(&str, &str)> {
    let (host, guest) = file.split_once(':').unwrap_or((file, file));
    if !Path::new(host).exists() {
        bail!("--file {file}: there is no {host} on this machine");
    }
    let name = Path::new(host).file_name().unwrap_or_default().display();
    if !guest.starts_with('/') || guest.ends_with('/') {
        bail!("--file {file}: say where it is to be in the guest, by a whole path, as in --file {host}:/tmp/{name}");
    }
    if [plan::INIT, plan::PATH].contains(&guest) {
        bail!("--file {file}: {guest} is what the tool itself puts there; choose another path in the guest");
    }
    Ok((host, guest))
}

/// The kernel to boot when none is named.
const DEFAULT: &str = "6.1-cloud";

/// A module's file.
#[derive(Debug)]
struct Module {
    path: PathBuf,
    /// The kernel's name for it: the file's, with underscores.
    name: String,
    /// What `uname -r` says in the kernel that it is built for.
    release: String,
    /// The PCI devices that it is made for, as in `pci:v00001234d000011E8sv*sd*bc*sc*i*`.
    aliases: Vec<String>,
}

impl Module {
    fn read(path: &Path) -> Result<Self> {
        let content = fs::read(path).map_err(|error| {
            anyhow!("no module {} ({error}): `cargo kp build` makes one, and prints its path", path.display())
        })?;
        let stem = path.file_stem().ok_or_else(|| anyhow!("{} is no module: name a .ko file", path.display()))?;
        let name = stem.to_string_lossy().replace('-', "_");
        let release = release(&content).ok_or_else(|| {
            anyhow!("{} is no kernel module: name the .ko file that `cargo kp build` prints", path.display())
        })?;
        Ok(Module { path: path.to_owned(), name, release, aliases: aliases(&content) })
    }

    /// What the guest is to look for on its bus.
    fn wanted(&self, take: bool) -> Wanted {
        let (module, devices) = (self.name.clone(), in_words(&self.aliases));
        Wanted { module, devices, aliases: self.aliases.clone(), take }
    }

    /// Refuses what a kernel of this release would not load. `target`: what `cargo kp build --target` calls it.
    fn check(&self, running: &str, target: &str) -> Result<()> {
        if self.release != running {
            let (file, release) = (self.path.display(), &self.release);
            let remedy = format!("name that one with --kernel, or build with --target {target}");
            bail!("{file} is built for {release}, and the guest's kernel is {running}: {remedy}");
        }
        Ok(())
    }
}

/// The release in a module's `vermagic`, its first word.
fn release(module: &[u8]) -> Option<String> {
    info(module, "vermagic=").next()?.split(' ').next().map(str::to_owned)
}

/// A module's PCI aliases.
fn aliases(module: &[u8]) -> Vec<String> {
    info(module, "alias=pci:").map(|rest| format!("pci:{rest}")).collect()
}

/// The devices that these aliases fit, as `PCI device 1234:11e8`.
fn in_words(aliases: &[String]) -> String {
    let mut ids: Vec<String> = aliases.iter().map(|alias| device(alias).unwrap_or_else(|| alias.clone())).collect();
    // Which order the kernel's own tools leave them in differs.
    ids.sort();
    format!("PCI device {}", ids.join(" or "))
}

/// What `pci:v00001234d000011E8sv*sd*bc*sc*i*` names: vendor and device as `lspci` writes them, and a card's or a class in the words of
/// `plugin!`. `None` if it is about something else.
fn device(alias: &str) -> Option<String> {
    let (vendor, rest) = alias.strip_prefix("pci:v")?.split_once('d')?;
    let (id, rest) = rest.split_once("sv")?;
    let (by, rest) = rest.split_once("sd")?;
    let (card, rest) = rest.split_once("bc")?;
    let (class, rest) = rest.split_once("sc")?;
    let (sub, interface) = rest.split_once('i')?;
    let interface = interface.trim_end_matches('*');
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    match (number(vendor), number(id), number(by), number(card)) {
        (Some(vendor), Some(id), None, None) => Some(format!("{vendor:04x}:{id:04x}")),
        (Some(vendor), Some(id), Some(by), Some(card)) => {
            Some(format!("{vendor:04x}:{id:04x} sub {by:04x}:{card:04x}"))
        }
        (None, None, None, None) => {
            Some(format!("of class {:02x}{:02x}{}", number(class)?, number(sub)?, interface.to_lowercase()))
        }
        _ => None,
    }
}

/// The values that a module's information has behind this mark.
fn info<'a>(module: &'a [u8], mark: &str) -> impl Iterator<Item = String> + 'a {
    let mark = mark.as_bytes().to_vec();
    let entries = module.split(|&byte| byte == 0);
    entries.filter_map(move |entry| Some(String::from_utf8_lossy(entry.strip_prefix(&mark[..])?).into_owned()))
}

/// The name of the kernel that the first module is built for, if it is one that is here, else [`DEFAULT`].
fn kernel_of(modules: &[Module]) -> Result<String> {
    let cache = kernels::cache_dir()?;
    let release = modules.first().map(|module| &*module.release);
    let cached =
        |name: &String| kernels::cached_in(&cache, name).is_some_and(|kernel| Some(&*kernel.release) == release);
    Ok(kernels::known_names().into_iter().find(cached).unwrap_or_else(|| DEFAULT.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_another_kernel_is_refused_before_the_guest_boots() {
        let release = release(b"\x7fELF\0license=GPL\0vermagic=6.12.9-amd64 SMP preempt\0depends=\0");
        let release = release.expect("it says so");
        let module = Module { path: "kp-edu.ko".into(), name: "kp_edu".into(), release, aliases: Vec::new() };
        assert!(module.check("6.12.9-amd64", "6.12").is_ok());
        assert_eq!(
            module.check("6.1.0-9-cloud-amd64", "6.1-cloud").expect_err("another kernel").to_string(),
            "kp-edu.ko is built for 6.12.9-amd64, and the guest's kernel is 6.1.0-9-cloud-amd64: \
             name that one with --kernel, or build with --target 6.1-cloud"
        );
    }

    #[test]
    fn a_module_says_which_devices_it_is_made_for() {
        let of = |text: &str| aliases(format!("\x7fELF\0{text}\0vermagic=6.12.9-amd64\0").as_bytes());
        assert_eq!(of("alias=kp"), [""; 0]);
        let edu = "alias=pci:v00001234d000011E8sv*sd*bc*sc*i*";
        assert_eq!(of(edu), ["pci:v00001234d000011E8sv*sd*bc*sc*i*"]);
        let of = |text: &str| in_words(&of(text));
        assert_eq!(of(edu), "PCI device 1234:11e8");
        let class = "alias=pci:v*d*sv*sd*bc0Csc03i30*";
        assert_eq!(of(&format!("{edu}\0{class}")), "PCI device 1234:11e8 or of class 0c0330");
        assert_eq!(of("alias=pci:v*d*sv*sd*bc01sc08i*"), "PCI device of class 0108");
        let card = "alias=pci:v000010EEd00007024sv000010F0sd00000007bc*sc*i*";
        assert_eq!(of(card), "PCI device 10ee:7024 sub 10f0:0007");
    }

    #[test]
    fn a_file_goes_to_a_whole_path_in_the_guest_and_an_absolute_one_to_its_own() {
        assert_eq!(host_and_guest("/bin:/x/bin").unwrap(), ("/bin", "/x/bin"));
        assert_eq!(host_and_guest("/bin").unwrap(), ("/bin", "/bin"));
        let why = |file| host_and_guest(file).expect_err(file).to_string();
        assert_eq!(why("/no/x.py:/x.py"), "--file /no/x.py:/x.py: there is no /no/x.py on this machine");
        for (file, to) in [
            ("Cargo.toml", "Cargo.toml:/tmp/Cargo.toml"),
            ("/bin:bin", "/bin:/tmp/bin"),
            ("/bin:/", "/bin:/tmp/bin"),
            ("/bin:/x/", "/bin:/tmp/bin"),
        ] {
            assert_eq!(
                why(file),
                format!("--file {file}: say where it is to be in the guest, by a whole path, as in --file {to}")
            );
        }
        assert!(why("/bin/sh:/init").ends_with("choose another path in the guest"));
    }

    #[test]
    fn files_that_are_not_there_are_named_with_what_makes_them() {
        let args = |modules: &[&str], program: &[&str]| VmArgs {
            kernel: None,
            modules: modules.iter().map(PathBuf::from).collect(),
            files: Vec::new(),
            append: Vec::new(),
            devices: Vec::new(),
            take: false,
            allow: Vec::new(),
            cpus: 1,
            timeout: 1,
            setup: false,
            log: false,
            program: program.iter().map(|&word| word.to_owned()).collect(),
        };
        let why = |args: VmArgs| args.run().expect_err("no such file").to_string();
        let module = why(args(&["/no/kp-edu.ko"], &[]));
        assert!(module.starts_with("no module /no/kp-edu.ko (") && module.contains("`cargo kp build`"), "{module}");
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(
            why(args(&[here], &[])),
            format!("{here} is no kernel module: name the .ko file that `cargo kp build` prints")
        );
        let nothing = VmArgs { take: true, ..args(&[], &[]) };
        assert_eq!(why(nothing), "--take: there is no module that is made for PCI devices; name one with --module");
        let program = why(args(&[], &["/no/app"]));
        assert_eq!(program, "no program /no/app: build it first, and name its file on this machine");
    }

    #[test]
    fn the_line_that_failed_a_run_stands_in_front_of_the_log_and_is_marked_in_it() {
        let report = |failed_by: Option<usize>, line: &str| Report {
            stage: Stage::Process,
            output: Vec::new(),
            steps: Vec::new(),
            log: ["qemu: nic has no peer", line, "kp_edu: unloaded"].map(str::to_owned).into(),
            failed_by,
            verdict: Verdict::Passed,
            seconds: 1.0,
        };
        let passed = report(None, "hm");
        assert_eq!(log_of(&passed), ["    qemu: nic has no peer", "    hm", "    kp_edu: unloaded"]);
        let failed = report(Some(1), "hm");
        assert_eq!(log_of(&failed)[..5], ["failed by this line of the kernel's log:", "", "  > hm", "", "all of it:"]);
        assert_eq!(log_of(&failed)[5..], ["    qemu: nic has no peer", "  > hm", "    kp_edu: unloaded"]);
        assert!(remedy(&failed, "kernel log: hm").contains("--allow PATTERN"));
        assert_eq!(remedy(&report(Some(1), "BUG: hm"), "kernel log: BUG: hm"), "", "nothing allows a crash");
        assert_eq!(remedy(&passed, "the guest did not end within 8 s; x"), "; --timeout SECONDS gives it more");
        assert_eq!(remedy(&passed, "step 1: failed: /kp/app: exit status 1"), "", "the program has said why");
        let refused = Report { stage: Stage::Refused, ..passed };
        assert!(remedy(&refused, "the guest stopped early").contains("`qemu-system-x86_64 -device help`"));
    }
}
