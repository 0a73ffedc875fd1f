//! `cargo kp vm`.

use super::ivshmem;
use super::judge::is_bad;
use super::module::{Module, needed};
use super::progress::Progress;
use super::qemu::{DID_NOT_END, DID_NOT_START};
use super::{Expected, Report, Stage, Verdict, Vm};
use crate::command::Command;
use crate::guest::plan::{self, Step};
use crate::kernels::{self, Image, ModuleTree};
use crate::new::qemu;
use crate::packages::{Packages, Purpose, ThisMachine};
use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Boots a kernel, loads modules, runs a program there, unloads the modules, and judges the kernel's log. A module that is made
/// for PCI devices has to find one. Without --module: the plugin of the workspace here and its app, which are built first. What stands behind
/// `--` are the app's arguments then; or, if the first word has a `/`, another program and its arguments.
#[derive(Debug, Args)]
pub struct VmArgs {
    /// The plugin that is built and booted. Without it: the package here, or the only plugin of the workspace.
    #[arg(short, long, value_name = "PLUGIN", conflicts_with = "modules")]
    pub plugin: Option<String>,
    /// The kernel: one of those in kernels.toml, or the folder that one was built in. Without it: the one that the first module is built for,
    /// else 6.1-cloud.
    #[arg(long)]
    pub kernel: Option<String>,
    /// The kernel, by its image alone: a bzImage or vmlinuz, from wherever it comes.
    #[arg(long, value_name = "FILE", conflicts_with = "kernel")]
    pub image: Option<PathBuf>,
    /// A module to load; may be repeated. Unloaded in reverse order at the end.
    #[arg(long = "module", value_name = "FILE")]
    pub modules: Vec<PathBuf>,
    /// Where the kernel's own modules are, of which those that --module's need are loaded first: /lib/modules/RELEASE, or where
    /// `make modules_install` has put them.
    #[arg(long = "modules", value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// A system's files to put into the guest, such as those in a folder of debootstrap's. The program that is run is one of them if
    /// its whole path is there.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
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
    /// How much memory the guest gets: mebibytes, or with K, M or G behind the number. It gets more if its files need more.
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = mebibytes)]
    pub memory: u32,
    /// How long the kernel may take to its first process, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    pub boot_limit: u64,
    /// How long the guest may run from there, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
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
    fn run(mut self) -> Result<()> {
        self.devices.iter().try_for_each(|device| qemu::is_known(device))?;
        self.of_workspace()?;
        let modules = self.modules.iter().map(|path| Module::read(path)).collect::<Result<Vec<_>>>()?;
        if self.take && modules.iter().all(|module| module.file.aliases.is_empty()) {
            bail!("--take: there is no module that is made for PCI devices; name one with --module");
        }
        let files = self.files.iter().map(|file| host_and_guest(file)).collect::<Result<Vec<_>>>()?;
        let program = self.program.split_first();
        let in_root = |program: &str| {
            let root = self.root.as_ref().filter(|_| program.starts_with('/'));
            root.is_some_and(|root| root.join(&program[1..]).exists())
        };
        if let Some((program, _)) =
            program.filter(|(program, _)| !Path::new(program).is_file() && !in_root(program.as_str()))
        {
            bail!("no program {program}: build it first, and name its file on this machine");
        }
        Packages::new(&ThisMachine).require(&[Purpose::Boot], self.setup)?;
        let (image, target) = self.kernel_to_boot(&modules)?;
        modules.iter().try_for_each(|module| module.check(&image.release, &target))?;
        let tree = self.tree.as_ref().map(|folder| ModuleTree::read(folder, &image.release)).transpose()?;
        let needs = needed(&modules, tree.as_ref(), &image.release)?;
        let release = image.release.clone();
        let mut vm = Vm::new(image).cpus(self.cpus).memory(self.memory).needs(needs);
        if let Some(root) = &self.root {
            vm = vm.root(root);
        }
        vm = vm.boot_limit(Duration::from_secs(self.boot_limit)).timeout(Duration::from_secs(self.timeout));
        // A device that asks for a server has one as long as the guest runs.
        let mut servers = Vec::new();
        for device in &self.devices {
            vm = match ivshmem::Server::wanted(device)? {
                Some(server) => {
                    let vm = server.attach(vm);
                    servers.push(server);
                    vm
                }
                None => vm.device(device),
            };
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
            let guest = format!("/kp/{}.ko", module.file.name);
            vm = vm.file(&module.path, &guest).step(Step::load(&guest));
            if !module.file.aliases.is_empty() {
                vm = vm.step(Step::Bound(module.wanted(self.take)));
            }
        }
        if let Some((program, rest)) = program.filter(|(program, _)| in_root(program)) {
            let argv: Vec<&str> = [program.as_str()].into_iter().chain(rest.iter().map(String::as_str)).collect();
            vm = vm.step(Step::run(&argv));
        } else if let Some((program, rest)) = program {
            let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
            let guest = format!("/kp/{name}");
            let argv: Vec<&str> = [guest.as_str()].into_iter().chain(rest.iter().map(String::as_str)).collect();
            vm = vm.program(program, &guest).step(Step::run(&argv));
        }
        for module in modules.iter().rev() {
            vm = vm.step(Step::unload(&module.file.name));
        }
        let progress = Progress::start(&format!("linux {release}"));
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

impl VmArgs {
    /// The kernel, and what `cargo kp build --target` calls it.
    fn kernel_to_boot(&self, modules: &[Module]) -> Result<(Image, String)> {
        if let Some(file) = &self.image {
            return Ok((Image::read(file)?, "DIR, the folder with its headers".to_owned()));
        }
        let kernel = match &self.kernel {
            Some(folder) if folder.contains('/') => kernels::built_in(Path::new(folder))?,
            Some(name) => kernels::get(name, self.setup)?,
            None => kernels::get(&kernel_of(modules)?, self.setup)?,
        };
        Ok((Image::from(&kernel), self.kernel.clone().unwrap_or(kernel.name)))
    }
}

/// A size of memory in MiB, as QEMU's -m takes it.
fn mebibytes(size: &str) -> Result<u32, String> {
    let digits = size.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let of = |number: u64| match &size[digits.len()..] {
        "K" | "k" => Some(number / 1024),
        "" | "M" | "m" => Some(number),
        "G" | "g" => number.checked_mul(1024),
        _ => None,
    };
    let mebibytes = digits.parse().ok().and_then(of).and_then(|number| u32::try_from(number).ok());
    mebibytes.filter(|&number| number > 0).ok_or_else(|| "write a size as 768M or 2G".to_owned())
}

/// The kernel's log for a person: the line that failed the run first, then all of them with that one marked.
fn log_of(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(line) = report.failed_by.and_then(|at| report.log.get(at)) {
        lines.extend(["failed by this line of the kernel's log:", "", &format!("  > {line}"), ""].map(str::to_owned));
        if report.stopped {
            lines.push("stopped after this line: what its program says later is not heard".to_owned());
        }
        lines.push("all of it:".to_owned());
    }
    let mark = |at| if report.failed_by == Some(at) { "  > " } else { "    " };
    lines.extend(report.log.iter().enumerate().map(|(at, line)| format!("{}{line}", mark(at))));
    lines
}

/// What to do about a run that failed, where why it did does not say: it stands behind that, as in `; …`.
fn remedy(report: &Report, why: &str) -> &'static str {
    let line = report.failed_by.and_then(|at| report.log.get(at));
    match (report.stage, line) {
        (Stage::Boot, Some(line)) => before_first_process(line),
        (Stage::Boot, None) if why.starts_with(DID_NOT_START) && report.log.is_empty() => {
            "; a kernel without CONFIG_SERIAL_8250_CONSOLE says nothing; to one that only is slow --boot-limit SECONDS gives more"
        }
        (Stage::Boot, None) if why.starts_with(DID_NOT_START) => "; --boot-limit SECONDS gives it more",
        (Stage::Boot, None) => before_first_process(why),
        (_, Some(line)) if !is_bad(line) => "; if it is not the module's fault, --allow PATTERN lets such lines pass",
        (Stage::Refused, None) => {
            "; `qemu-system-x86_64 -device help` lists QEMU's devices, `-device NAME,help` what one takes"
        }
        (Stage::Process, None) if why.starts_with(DID_NOT_END) => "; --timeout SECONDS gives it more",
        _ => "",
    }
}

/// What a kernel lacks that says such a line before a program of the guest has run, if that can be told.
fn before_first_process(line: &str) -> &'static str {
    let says = |part| line.contains(part);
    match () {
        () if says("Unable to mount root fs") => "; the kernel needs CONFIG_BLK_DEV_INITRD",
        () if says("No working init found") || says("Requested init") => "; the kernel needs CONFIG_BINFMT_ELF",
        () if says("devtmpfs") => "; the kernel needs CONFIG_DEVTMPFS",
        // With one port only, that may be the one for results.
        () if says("result port") || says(plan::LOG_START) => {
            "; the kernel needs two serial ports: CONFIG_SERIAL_8250_RUNTIME_UARTS=2 or more"
        }
        () if says("/proc/sys/kernel/printk") => "; the kernel needs CONFIG_PROC_SYSCTL and CONFIG_PRINTK",
        () => "",
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
pub(crate) const DEFAULT: &str = "6.1-cloud";

/// The name of the kernel that the first module is built for, if it is one that is here, else [`DEFAULT`].
fn kernel_of(modules: &[Module]) -> Result<String> {
    let cache = kernels::cache_dir()?;
    let release = modules.first().map(|module| &*module.file.release);
    let cached =
        |name: &String| kernels::cached_in(&cache, name).is_some_and(|kernel| Some(&*kernel.release) == release);
    Ok(kernels::known_names().into_iter().find(cached).unwrap_or_else(|| DEFAULT.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn memory_is_given_in_mebibytes_or_with_its_unit() {
        for (size, mib) in [("512", 512), ("768M", 768), ("2G", 2048), ("2g", 2048), ("524288K", 512)] {
            assert_eq!(mebibytes(size), Ok(mib), "{size}");
        }
        for size in ["", "M", "-1", "2GB", "2 G", "0", "1K", "99999999G", "1.5G", "ü"] {
            assert_eq!(mebibytes(size), Err("write a size as 768M or 2G".to_owned()), "{size}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_named_with_what_makes_them() {
        let args = |modules: &[&str], program: &[&str]| VmArgs {
            plugin: None,
            kernel: None,
            image: None,
            root: None,
            tree: None,
            memory: 512,
            boot_limit: 1,
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
        let why = |args: VmArgs| format!("{:#}", args.run().expect_err("no such file"));
        let module = why(args(&["/no/kp-edu.ko"], &[]));
        assert!(module.starts_with("no module /no/kp-edu.ko (") && module.contains("`cargo kp build`"), "{module}");
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(
            why(args(&[here], &[])),
            format!("{here} is no kernel module: name the .ko file that `cargo kp build` prints")
        );
        let nothing = VmArgs { take: true, ..args(&[], &[]) };
        assert_eq!(why(nothing), "--take: there is no module that is made for PCI devices; name one with --module");
        let image = why(VmArgs { image: Some(here.into()), ..args(&[], &[]) });
        assert!(image.ends_with("it is no kernel's image for x86: name a bzImage or vmlinuz"), "{image}");
        let file = why(VmArgs { kernel: Some(here.to_owned()), ..args(&[], &[]) });
        assert_eq!(file, format!("{here} is a file, and --kernel takes a folder: --image takes a kernel's image"));
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
            stopped: false,
            verdict: Verdict::Passed,
            seconds: 1.0,
        };
        let passed = report(None, "hm");
        assert_eq!(log_of(&passed), ["    qemu: nic has no peer", "    hm", "    kp_edu: unloaded"]);
        let failed = report(Some(1), "hm");
        assert_eq!(log_of(&failed)[..5], ["failed by this line of the kernel's log:", "", "  > hm", "", "all of it:"]);
        assert_eq!(log_of(&failed)[5..], ["    qemu: nic has no peer", "  > hm", "    kp_edu: unloaded"]);
        let stopped = Report { stopped: true, ..report(Some(1), "hm") };
        assert_eq!(log_of(&stopped)[4], "stopped after this line: what its program says later is not heard");
        assert!(remedy(&failed, "kernel log: hm").contains("--allow PATTERN"));
        assert_eq!(remedy(&report(Some(1), "BUG: hm"), "kernel log: BUG: hm"), "", "nothing allows a crash");
        assert_eq!(remedy(&passed, "the guest did not end within 8 s; x"), "; --timeout SECONDS gives it more");
        assert_eq!(remedy(&passed, "step 1: failed: /kp/app: exit status 1"), "", "the program has said why");
        let booting = |failed_by, line| Report { stage: Stage::Boot, ..report(failed_by, line) };
        let slow = "the kernel did not get to its first process within 90 s; x";
        assert_eq!(remedy(&booting(None, "hm"), slow), "; --boot-limit SECONDS gives it more");
        let silent = Report { log: Vec::new(), ..booting(None, "") };
        assert!(remedy(&silent, slow).contains("CONFIG_SERIAL_8250_CONSOLE"));
        for (line, option) in [
            ("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "BLK_DEV_INITRD"),
            ("Kernel panic - not syncing: No working init found.", "BINFMT_ELF"),
        ] {
            assert_eq!(remedy(&booting(Some(1), line), line), format!("; the kernel needs CONFIG_{option}"));
        }
        let own = "kp-guest: cannot mount devtmpfs: No such device (os error 19)";
        assert_eq!(remedy(&booting(None, own), own), "; the kernel needs CONFIG_DEVTMPFS");
        let refused = Report { stage: Stage::Refused, ..passed };
        assert!(remedy(&refused, "the guest stopped early").contains("`qemu-system-x86_64 -device help`"));
    }
}
