//! From a plugin's package to kernel modules and drivers.
//!
//! `plugin` finds the package, `toolchain` the compiler. `linux` makes modules, on Linux only, and `windows` makes drivers, on both;
//! what both generate is in `generated`, what stands between Cargo and the compiler in [`wrapper`], what compiles C code that a plugin brings in [`c`], and what both have to know of the result in `info`. [`check`] and `callgraph` refuse what a
//! kernel must not run, [`pe`] what Windows' must not.
pub mod c;
mod callgraph;
pub mod check;
mod exports;
mod generated;
mod info;
mod interface;
mod license;
#[cfg(unix)]
mod linux;
#[cfg(not(unix))]
#[path = "not_linux.rs"]
mod linux;
pub mod pe;
mod plugin;
#[cfg(unix)]
mod simulator;
pub(crate) mod toolchain;
pub(crate) mod windows;
pub mod wrapper;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Command;

pub use self::info::{Info, MatchId};
pub use self::interface::interface;
pub use self::license::License;
#[cfg(unix)]
pub use self::linux::{Instrumentation, Object, make_direct, module, object};
#[cfg(unix)]
pub(crate) use self::linux::{Modules, Wanted as WantedModule, checked, copy, kernels_make};
pub use self::plugin::{Disclosure, Model, Plugin, select};
#[cfg(unix)]
pub use self::simulator::simulator;
pub use self::windows::{Arch, Inf, Product, Signer, built_in, driver};

/// Builds a plugin's module for each kernel named, and prints where the modules are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct BuildArgs {
    /// The plugin's package. Without it: the package here, or the only plugin of the workspace.
    #[arg(short, long, value_name = "PLUGIN")]
    pub plugin: Option<String>,
    /// A kernel to build for: a series (6.12, 6.1-cloud), a release, a folder with its headers, `windows`, or `windows-arm64`. May
    /// be given often.
    #[arg(long, alias = "kernel", value_name = "SERIES|RELEASE|DIR|windows|windows-arm64")]
    pub target: Vec<String>,
    /// The Rust to build with: a folder that has bin/rustc, or a toolchain of rustup's. Without it: what KP_TOOLCHAIN names, else the
    /// plugin's Cargo.toml, else the first whole one of /usr, the rustc in PATH, and /usr/lib/rust-1.*.
    #[arg(long, value_name = "DIR|NAME")]
    pub toolchain: Option<String>,
    /// Fetch the headers that are missing, from Debian's archive.
    #[arg(long)]
    pub setup: bool,
    /// The C compiler of modules, in place of the one that each kernel was built by.
    #[arg(long, value_name = "PROGRAM")]
    pub cc: Option<String>,
    /// Who signs drivers for Windows.
    #[command(flatten)]
    pub signer: Signer,
}

impl Command for BuildArgs {
    /// The paths of what was built go to stdout, one a line, in the order of the options. Kernels are looked up first, so that a missing one
    /// doesn't cost a build.
    fn run(self) -> Result<()> {
        let mut plugin = select(self.plugin.as_deref(), Path::new("."))?;
        plugin.toolchain = self.toolchain.or(plugin.toolchain);
        if self.signer.certificate.is_some() && !self.target.iter().any(|name| Arch::named(name).is_some()) {
            bail!("--certificate signs drivers for Windows: add --target windows");
        }
        let cc = self.cc.as_deref();
        let wanted = match self.target.as_slice() {
            [] => vec![Wanted::Module(linux::Wanted::find(None, self.setup, cc)?)],
            names => names.iter().map(|name| Wanted::find(name, self.setup, cc)).collect::<Result<_>>()?,
        };
        let is_for_linux = wanted.iter().any(|one| matches!(one, Wanted::Module(_)));
        if is_for_linux {
            plugin.license.for_module(&plugin.name)?;
        } else if self.cc.is_some() {
            bail!("--cc compiles modules for Linux: add a kernel by --target");
        }
        let mut modules = linux::Modules::of(&plugin);
        for one in &wanted {
            let built = match one {
                Wanted::Module(module) => modules.build(module),
                Wanted::Driver(arch) => windows::driver(&plugin, *arch, &self.signer, &|step| eprintln!("{step}")),
            };
            let path = built.inspect_err(|_| {
                if let Some(earlier) = one.earlier(&plugin) {
                    eprintln!("{}: {} is of an earlier build", plugin.name, earlier.display());
                }
            })?;
            println!("{}", path.display());
        }
        Ok(())
    }
}

/// What one `--target` asks for.
enum Wanted {
    Module(linux::Wanted),
    Driver(Arch),
}

impl Wanted {
    fn find(name: &str, setup: bool, cc: Option<&str>) -> Result<Self> {
        match Arch::named(name) {
            Some(arch) => Ok(Wanted::Driver(arch)),
            None if name.starts_with("win") && !name.contains('/') => {
                bail!("no target is called {name}: drivers for Windows are built for windows and windows-arm64")
            }
            None => linux::Wanted::find(Some(name), setup, cc).map(Wanted::Module),
        }
    }

    /// What an earlier build has left, which stays, so that nobody takes it for what was asked for now.
    fn earlier(&self, plugin: &Plugin) -> Option<PathBuf> {
        let earlier = match self {
            Wanted::Module(module) => module.path(plugin).ok(),
            Wanted::Driver(arch) => Some(windows::path(plugin, *arch)),
        };
        earlier.filter(|file| file.is_file())
    }
}

/// Writes a generated file unless it already says so: a new date would have everything behind it built again. Says whether it
/// wrote.
fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<bool> {
    let content = content.as_ref();
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let dir = path.parent().context("a generated file without a folder")?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// Waits until no other build of the plugin runs, in this process or another, and keeps others waiting until it is dropped.
fn lock(plugin: &Plugin) -> Result<File> {
    let dir = plugin.output.join(&plugin.name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join("lock");
    let file = File::options().append(true).create(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    // std has it from Rust 1.89 on.
    fs4::FileExt::lock(&file).with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}
