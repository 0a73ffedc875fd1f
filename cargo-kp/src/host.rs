//! Hosts that the scenario runs on, by name, and how it is run there.
use crate::{
    build,
    guest::plan::Step,
    kernels::{self, Kernel},
    packages::{Packages, Purpose, ThisMachine},
    programs,
    vm::Vm,
    wine,
};
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// A host's name, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// The simulator with its own device models.
    Sim,
    /// The simulator with QEMU's.
    SimQemu,
    /// A kernel in a virtual machine.
    Linux {
        /// Its name in kernels.toml.
        kernel: String,
        /// Booted with `threadirqs`: handlers run in threads.
        threadirqs: bool,
    },
    /// The Windows driver under Wine.
    Wine,
    /// The Windows driver in the loader's process.
    Loader {
        /// With QEMU's device, not the simulator's.
        qemu: bool,
    },
}

impl std::str::FromStr for Host {
    type Err = anyhow::Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "sim" => return Ok(Host::Sim),
            "sim:qemu" => return Ok(Host::SimQemu),
            "windows:wine" => return Ok(Host::Wine),
            "windows:loader" => return Ok(Host::Loader { qemu: false }),
            "windows:loader-qemu" => return Ok(Host::Loader { qemu: true }),
            _ => {}
        }
        if let Some(kernel) = name.strip_prefix("linux:") {
            let (kernel, threadirqs) = match kernel.strip_suffix("+threadirqs") {
                Some(kernel) => (kernel, true),
                None => (kernel, false),
            };
            if kernels::known_names().iter().any(|name| name == kernel) {
                return Ok(Host::Linux { kernel: kernel.into(), threadirqs });
            }
        }
        let kernels = kernels::known_names().join("|");
        bail!(
            "no such host: {name}; there are sim, sim:qemu, windows:loader, windows:loader-qemu, windows:wine and \
             linux:{kernels}, the last also with +threadirqs"
        )
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Sim => f.write_str("sim"),
            Host::SimQemu => f.write_str("sim:qemu"),
            Host::Wine => f.write_str("windows:wine"),
            Host::Loader { qemu: false } => f.write_str("windows:loader"),
            Host::Loader { qemu: true } => f.write_str("windows:loader-qemu"),
            Host::Linux { kernel, threadirqs } => {
                write!(f, "linux:{kernel}{}", if *threadirqs { "+threadirqs" } else { "" })
            }
        }
    }
}

/// Where a guest has its modules.
pub const MODULES: &str = "/kp";
/// Where a guest has the program that a case runs.
pub const PROGRAM: &str = "/kp/program";

/// The device of each guest, as QEMU names it: by itself it reaches the first 256 MiB alone.
pub const EDU: &str = "edu,dma_mask=0xffffffff";

/// The example plugins' modules for one kernel, built.
pub struct Modules {
    /// What the guest boots.
    pub kernel: Kernel,
    /// One file for each plugin asked for.
    pub files: Vec<PathBuf>,
}

/// Builds an example plugin as a Windows driver.
pub fn driver(plugin: &str) -> Result<PathBuf> {
    let plugin = build::select(Some(plugin), Path::new("."))?;
    build::driver(&plugin, build::Arch::X64, &build::Signer::default(), &|_| {})
}

/// The plugins whose drivers the loader's tests run.
pub const LOADED: &[&str] = &[
    "echo",
    "edu",
    "bmd",
    "trouble",
    "ivshmem",
    "selftest",
    "testdev",
    "pcie",
    "clockwork",
    "copier",
    "eduown",
    "keeper",
];

/// Builds example plugins as Windows drivers. The folder in which each has one of its own, with `windows-x86_64` in it.
pub fn drivers(plugins: &[&str]) -> Result<PathBuf> {
    let mut folder = PathBuf::new();
    for plugin in plugins {
        let sys = driver(plugin)?;
        folder = sys.ancestors().nth(3).context("a driver has a folder")?.to_path_buf();
    }
    Ok(folder)
}

/// Gets a kernel and builds these plugins for it.
pub fn modules(kernel: &str, plugins: &[&str], setup: bool) -> Result<Modules> {
    modules_for(kernel_to_boot(kernel, setup)?, plugins)
}

/// Gets a kernel, and what it takes to build for it and boot it.
pub fn kernel_to_boot(name: &str, setup: bool) -> Result<Kernel> {
    Packages::new(&ThisMachine).require(&[Purpose::Build, Purpose::Boot], setup)?;
    kernels::get(name, setup)
}

/// Builds plugins for a kernel.
pub fn modules_for(kernel: Kernel, plugins: &[&str]) -> Result<Modules> {
    let mut files = Vec::new();
    for name in plugins {
        let plugin = build::select(Some(name), Path::new("."))?;
        let object = build::object(&plugin, &build::Instrumentation::of(&kernel)?, &|_| {})?;
        files.push(build::module(&plugin, &object, &kernel)?);
    }
    Ok(Modules { kernel, files })
}

impl Modules {
    /// How much memory a guest has, in MiB. What looks for mistakes keeps its own records of all memory.
    pub fn memory(&self) -> u32 {
        if self.kernel.patience() > 1 { 2048 } else { 512 }
    }

    /// A guest with the modules' files, an edu device, and `program`, which is what its steps run.
    pub fn guest(&self, program: &Path) -> Vm {
        let mut vm = Vm::new(&self.kernel).device(EDU).program(program, PROGRAM);
        vm = vm.memory(self.memory()).boot_limit(Duration::from_secs(90) * self.kernel.patience());
        for file in &self.files {
            let name = file.file_name().expect("a module has a name").to_string_lossy();
            vm = vm.file(file, &format!("{MODULES}/{name}"));
        }
        vm
    }
}

/// Runs one part of the scenario, or `all`, on a host. The transcript goes to `on_line`.
///
/// # Errors
/// The host is not to be had here, or the scenario failed there.
pub fn scenario(host: &Host, part: &str, setup: bool, on_line: &mut dyn FnMut(&str)) -> Result<()> {
    match host {
        Host::Sim => programs::run("conformance", &["--host", "sim", "--part", part], on_line),
        Host::SimQemu => {
            Packages::new(&ThisMachine).require(&[Purpose::Boot], setup)?;
            programs::run("conformance", &["--host", "sim:qemu", "--part", part], on_line)
        }
        Host::Linux { kernel, threadirqs } => {
            let modules = modules(kernel, &["echo", "edu", "bmd"], setup)?;
            let program = programs::build("conformance")?;
            let step = Step::run(&[PROGRAM, "--host", "guest", "--part", part]);
            let mut vm = modules.guest(&program).cpus(2).step(step);
            vm = vm.timeout(Duration::from_secs(120) * modules.kernel.patience());
            if *threadirqs {
                vm = vm.kernel_arg("threadirqs");
            }
            vm.run(on_line)?.into_result().map(|_| ())
        }
        Host::Loader { qemu } => {
            if *qemu {
                Packages::new(&ThisMachine).require(&[Purpose::Boot], setup)?;
            }
            let plugins: &[&str] = match part {
                "calls" => &["echo"],
                "interrupts" => &["edu"],
                "transfers" => &["bmd"],
                _ => &["echo", "edu", "bmd"],
            };
            let drivers = drivers(plugins)?;
            let drivers = drivers.to_str().context("the target folder's path isn't UTF-8")?;
            programs::run("conformance", &["--host", &host.to_string(), "--part", part, "--drivers", drivers], on_line)
        }
        Host::Wine => {
            if part != "calls" {
                bail!("windows:wine has the part calls only, so add --part calls: Wine gives a driver no device");
            }
            let mut wine = wine::Wine::start(setup)?;
            wine.put(&driver("echo")?)?;
            wine.put(&wine::build_program("conformance", setup)?)?;
            let arguments = ["--host", "windows", "--part", part];
            let ran = wine.run("conformance.exe", &arguments, Duration::from_secs(120), on_line)?;
            ran.into_result()
        }
    }
}

/// Runs a test of the conformance program on a host that has some, asked for by its words and arguments. What it prints goes to `on_line`.
///
/// # Errors
/// The host is not to be had here or has no tests of its own, or the test failed.
pub fn test(host: &Host, words: &[String], setup: bool, on_line: &mut dyn FnMut(&str)) -> Result<()> {
    let words = words.iter().map(String::as_str);
    match host {
        Host::Linux { kernel, threadirqs } => {
            let modules = modules(kernel, &["echo", "edu", "bmd", "trouble", "clockwork", "eduown"], setup)?;
            let argv: Vec<&str> = [PROGRAM].into_iter().chain(words).collect();
            let mut vm = modules.guest(&programs::build("conformance")?).cpus(2).step(Step::run(&argv));
            if *threadirqs {
                vm = vm.kernel_arg("threadirqs");
            }
            let limit = Duration::from_secs(600) * modules.kernel.patience();
            vm.timeout(limit).run(on_line)?.into_result().map(|_| ())
        }
        Host::Loader { qemu } => {
            if *qemu {
                Packages::new(&ThisMachine).require(&[Purpose::Boot], setup)?;
            }
            let drivers = drivers(LOADED)?;
            let drivers = drivers.to_str().context("the target folder's path isn't UTF-8")?;
            let loader = if *qemu { "loader-qemu" } else { "loader" };
            let arguments: Vec<&str> = [loader].into_iter().chain(words).chain([drivers]).collect();
            programs::run("conformance", &arguments, on_line)
        }
        _ => bail!("{host} has no tests beside the scenario: name linux:KERNEL, windows:loader or windows:loader-qemu"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_is_read_and_written_alike_and_an_unknown_one_says_which_there_are() {
        for name in [
            "sim",
            "sim:qemu",
            "windows:loader",
            "windows:loader-qemu",
            "windows:wine",
            "linux:6.1",
            "linux:6.12-rt",
            "linux:6.12-cloud+threadirqs",
        ] {
            assert_eq!(name.parse::<Host>().unwrap().to_string(), name);
        }
        let error = "linux:5.10".parse::<Host>().unwrap_err().to_string();
        assert!(
            error.starts_with(
                "no such host: linux:5.10; there are sim, sim:qemu, windows:loader, windows:loader-qemu, windows:wine and linux:6.1|"
            ),
            "{error}"
        );
    }
}
