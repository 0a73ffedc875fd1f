//! Boots a kernel in QEMU with a made-to-measure initramfs, follows its log, and judges the run.
//!
//! [`Vm`] describes a guest and [`Vm::run`] runs it. What happens inside is a [plan](crate::guest::plan), carried out by
//! [`guest`](crate::guest). The kernel's log comes out of one serial port and the results out of another, so neither can
//! disturb the other.

pub mod command;
pub mod initramfs;
pub mod ivshmem;
pub mod judge;
mod module;
mod of_workspace;
pub mod progress;
mod qemu;

use crate::guest::plan::Step;
use crate::kernels::{Dependency, Image};
use crate::temporary::TempFile;
use anyhow::{Context, Result};
pub use judge::Expected;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A guest to boot.
#[derive(Debug, Clone)]
pub struct Vm {
    image: Image,
    init: Option<PathBuf>,
    root: Option<PathBuf>,
    cpus: u32,
    memory: u32,
    qemu_args: Vec<String>,
    kernel_args: Vec<String>,
    programs: Vec<(PathBuf, String)>,
    files: Vec<(PathBuf, String)>,
    steps: Vec<Step>,
    expected: Vec<Expected>,
    needs: Vec<Dependency>,
    boot_limit: Duration,
    timeout: Duration,
    /// The socket of QEMU's monitor. Kept until the guest has ended.
    monitor: Option<Arc<TempFile>>,
}

/// How often a machine is booted, at most, to get to its first process.
const BOOTS: u32 = 3;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every step came out as planned, and the kernel's log is clean.
    Passed,
    /// It did not; one line says why.
    Failed(String),
}

/// How far a guest came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// QEMU gave up by itself, and said why.
    Refused,
    /// The machine started.
    Boot,
    /// The first process ran.
    Process,
}

/// What a run left behind.
#[derive(Debug, Clone)]
pub struct Report {
    /// How far it came.
    pub stage: Stage,
    /// What the guest's programs printed, line by line.
    pub output: Vec<String>,
    /// One line per step: `step 0: ok`, `step 1: failed: …`.
    pub steps: Vec<String>,
    /// The kernel's log, without levels and times; from QEMU itself if it complained.
    pub log: Vec<String>,
    /// Which line of the log failed the run, if one did.
    pub failed_by: Option<usize>,
    /// Whether the guest was ended before it ended by itself.
    pub stopped: bool,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took, from the start of QEMU to its end.
    pub seconds: f64,
}

impl Report {
    /// Turns a failed verdict into an error.
    pub fn into_result(self) -> Result<Report> {
        match &self.verdict {
            Verdict::Passed => Ok(self),
            Verdict::Failed(why) => anyhow::bail!("{why}"),
        }
    }
}

impl Vm {
    /// A guest with one CPU, 512 MiB of memory or what its files need, no network, 90 seconds to boot, nothing to do, and two minutes to do it.
    pub fn new(kernel: impl Into<Image>) -> Self {
        Vm {
            image: kernel.into(),
            init: None,
            root: None,
            cpus: 1,
            memory: 512,
            qemu_args: Vec::new(),
            kernel_args: Vec::new(),
            programs: Vec::new(),
            files: Vec::new(),
            steps: Vec::new(),
            expected: Vec::new(),
            needs: Vec::new(),
            boot_limit: Duration::from_secs(90),
            timeout: Duration::from_secs(120),
            monitor: None,
        }
    }

    /// Makes `program` the guest's init instead of the running executable. Its `main` has to start with
    /// [`guest::enter_if_init`](crate::guest::enter_if_init).
    pub fn init(mut self, program: impl AsRef<Path>) -> Self {
        self.init = Some(program.as_ref().to_owned());
        self
    }

    /// Gives the guest a system's files, from a folder such as debootstrap's.
    pub fn root(mut self, folder: impl AsRef<Path>) -> Self {
        self.root = Some(folder.as_ref().to_owned());
        self
    }

    /// Gives the guest this many CPUs.
    pub fn cpus(mut self, count: u32) -> Self {
        self.cpus = count;
        self
    }

    /// Gives the guest this much memory, in MiB; more if its files need more.
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// Adds a device, as in QEMU's `-device`.
    pub fn device(self, device: &str) -> Self {
        self.qemu_arg("-device").qemu_arg(device)
    }

    /// Adds an argument to QEMU's command line.
    pub fn qemu_arg(mut self, arg: &str) -> Self {
        self.qemu_args.push(arg.to_owned());
        self
    }

    /// Connects the guest's third serial port with the monitor of its own QEMU, for what only a machine can do to its devices. QEMU is both
    /// ends of a socket. Of this guest and its clones one may run at a time.
    pub fn monitor(mut self) -> Self {
        let socket = Arc::new(TempFile::unused());
        let path = socket.path.display().to_string();
        self.monitor = Some(socket);
        [
            "-chardev",
            &format!("socket,id=monitor,path={path},server=on,wait=off"),
            "-mon",
            "chardev=monitor,mode=control",
            "-chardev",
            &format!("socket,id=to-monitor,path={path}"),
            "-serial",
            "chardev:to-monitor",
        ]
        .iter()
        .fold(self, |vm, arg| vm.qemu_arg(arg))
    }

    /// Adds an argument to the kernel's command line.
    pub fn kernel_arg(mut self, arg: &str) -> Self {
        self.kernel_args.push(arg.to_owned());
        self
    }

    /// Puts an executable into the guest, with the shared libraries it needs.
    pub fn program(mut self, host: impl AsRef<Path>, guest: &str) -> Self {
        self.programs.push((host.as_ref().to_owned(), guest.to_owned()));
        self
    }

    /// Puts a file into the guest as it is, or a folder with all that is in it, and the shared libraries that files there need.
    pub fn file(mut self, host: impl AsRef<Path>, guest: &str) -> Self {
        self.files.push((host.as_ref().to_owned(), guest.to_owned()));
        self
    }

    /// Adds a step to the guest's plan.
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Declares something that the kernel's log has to contain exactly once.
    pub fn expect(mut self, expected: Expected) -> Self {
        self.expected.push(expected);
        self
    }

    /// Loads modules of the kernel's own before the first step. They are no part of what is judged: only a crash fails the run there.
    pub fn needs(mut self, modules: impl IntoIterator<Item = Dependency>) -> Self {
        self.needs.extend(modules);
        self
    }

    /// Limits how long the kernel may take to its first process.
    pub fn boot_limit(mut self, limit: Duration) -> Self {
        self.boot_limit = limit;
        self
    }

    /// Limits how long the guest may run from its first process on.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Boots the guest, waits for its end, and judges it. `on_line` gets each line that the guest's programs print, as it comes.
    ///
    /// Fails if the guest can't be put together or QEMU can't be started. A guest that fails is no error: the report says so.
    pub fn run(&self, on_line: &mut dyn FnMut(&str)) -> Result<Report> {
        let archive = self.initramfs()?;
        let memory = self.memory.max(memory_for(archive.len()));
        let (initrd, mut file) = TempFile::create()?;
        file.write_all(&archive).with_context(|| format!("cannot write {}: is there space?", initrd.path.display()))?;
        // An emulated machine with several CPUs can run an instruction that another CPU is just rewriting, which no real one does;
        // kernels rewrite most of theirs while they boot. Before the first process nothing of a plugin has run, so such a crash
        // says nothing about one: it is reported, and the machine booted anew.
        // What comes twice is no such thing.
        let mut last = None;
        for _ in 1..BOOTS {
            let report = qemu::run(self, &initrd.path, memory, on_line)?;
            match &report.verdict {
                Verdict::Failed(why) if report.stage == Stage::Boot && last.as_ref() != Some(why) => {
                    eprintln!("linux {}: crashed before its first process, booting again: {why}", self.image.release);
                    last = Some(why.clone());
                }
                _ => return Ok(report),
            }
        }
        qemu::run(self, &initrd.path, memory, on_line)
    }

    fn initramfs(&self) -> Result<Vec<u8>> {
        let init = match &self.init {
            Some(path) => path.clone(),
            None => crate::programs::this_tool(),
        };
        let mut image = initramfs::Initramfs::new();
        if let Some(root) = &self.root {
            image.tree(root)?;
        }
        image.program(&init, "/init")?;
        // First, because one may be a library that a program needs.
        for (host, guest) in &self.files {
            image.copy(host, guest)?;
        }
        for (host, guest) in &self.programs {
            image.program(host, guest)?;
        }
        for module in &self.needs {
            image.file(&guest_path(module), 0o644, &module.content);
        }
        let needs = (!self.needs.is_empty()).then(|| Step::Needs(self.needs.iter().map(guest_path).collect()));
        let steps: Vec<&Step> = needs.iter().chain(&self.steps).collect();
        let plan = serde_json::to_vec(&steps).context("cannot write down the plan")?;
        image.file(crate::guest::plan::PATH, 0o644, plan);
        Ok(image.finish())
    }
}

/// Where a guest has a module of its kernel's own.
fn guest_path(module: &Dependency) -> String {
    format!("/kp/needs/{}.ko", module.name)
}

/// How much memory a guest needs to unpack so many bytes of files, in MiB: a kernel gives half of its memory to files at most, and has to keep
/// the packed ones until the end.
fn memory_for(bytes: usize) -> u32 {
    let mib = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
    mib.saturating_mul(3).saturating_add(256)
}
