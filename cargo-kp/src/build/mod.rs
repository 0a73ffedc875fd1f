//! From a plugin's package to kernel modules.
//!
//! `plugin` finds the package, `glue` compiles it with the Linux port into a static library, `object` makes that one
//! relocatable object, [`check`] and `callgraph` refuse what a kernel must not run, and `module` builds the object and the C
//! glue into one module for each kernel. `windows` compiles it with the Windows port, which is a driver at once.
mod callgraph;
pub mod check;
mod exports;
mod glue;
mod got;
mod info;
mod module;
mod object;
pub mod pe;
mod plugin;
mod target;
mod windows;

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

pub(crate) use self::glue::{cargo as debian_cargo, compiler as require_debian_compiler};
pub use self::got::make_direct;
pub use self::info::Info;
pub(crate) use self::module::copy;
pub use self::module::module;
pub use self::object::{Object, object};
pub use self::plugin::{License, Plugin, select};
pub use self::windows::{Arch, Signer, driver};
pub(crate) use self::windows::{RUSTUP, rust_lld};

/// Builds a plugin's module for each kernel named, and prints where the modules are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct BuildArgs {
    /// The plugin's package. Without it: the package here, or the only plugin of the workspace.
    #[arg(short, long, value_name = "PLUGIN")]
    pub plugin: Option<String>,
    /// A kernel to build for: a series (6.12, 6.1-cloud), a release, a folder with its headers, `windows`, or `windows-arm64`. May
    /// be given often.
    #[arg(long, visible_alias = "target", value_name = "SERIES|RELEASE|DIR|windows|windows-arm64")]
    pub kernel: Vec<String>,
    /// Fetches the headers that are missing from Debian's archive.
    #[arg(long)]
    pub setup: bool,
    /// Who signs drivers for Windows.
    #[command(flatten)]
    pub signer: Signer,
}

/// `cargo kp build`: builds a module for each kernel asked for and prints their paths, one a line, on standard output.
///
/// # Errors
/// Whatever stops a build. Kernels are looked up first, so that a missing one doesn't cost a build.
pub fn command(args: &BuildArgs) -> Result<()> {
    let plugin = select(args.plugin.as_deref(), Path::new("."))?;
    let (windows, linux): (Vec<_>, Vec<_>) = args.kernel.iter().partition(|name| Arch::named(name).is_some());
    if args.signer.certificate.is_some() && windows.is_empty() {
        bail!("--certificate signs drivers for Windows: add --target windows");
    }
    let targets = match (linux.as_slice(), windows.as_slice()) {
        ([], []) => vec![target::default(args.setup)?],
        (linux, _) => linux.iter().map(|name| target::find(name, args.setup)).collect::<Result<_>>()?,
    };
    for arch in windows.iter().filter_map(|name| Arch::named(name)) {
        println!("{}", windows::driver(&plugin, arch, &args.signer, &|step| eprintln!("{step}"))?.display());
    }
    if targets.is_empty() {
        return Ok(());
    }
    let object = object(&plugin, &|step| eprintln!("{step}"))?;
    for target in &targets {
        eprintln!("{}: module for {}", plugin.name, target.release);
        println!("{}", module::build(&plugin, &object, target)?.display());
    }
    Ok(())
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
    let path = plugin.output.join(&plugin.name).join("lock");
    write(&path, "")?;
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    flock(&file, FlockOperation::LockExclusive).with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}
