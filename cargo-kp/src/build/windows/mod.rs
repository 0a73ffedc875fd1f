//! A plugin as a Windows driver, built without the WDK: `glue` compiles and links it, [`pe`](super::pe) checks it, `inf` writes what
//! installs it, and `sign` signs it.
mod glue;
mod inf;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::info::Info;
use super::pe;
use super::plugin::Plugin;

/// A processor that Windows runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// x86-64.
    X64,
    /// 64-bit Arm.
    Arm64,
}

impl Arch {
    /// Both of them.
    pub const ALL: [Arch; 2] = [Arch::X64, Arch::Arm64];

    /// What `--kernel` says for it.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X64 => "windows",
            Arch::Arm64 => "windows-arm64",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Arch> {
        Arch::ALL.into_iter().find(|arch| arch.name() == name)
    }

    /// The folder of what is built for it.
    fn folder(self) -> &'static str {
        match self {
            Arch::X64 => "windows-x86_64",
            Arch::Arm64 => "windows-arm64",
        }
    }

    /// What Rust calls it.
    fn triple(self) -> &'static str {
        match self {
            Arch::X64 => "x86_64-pc-windows-msvc",
            Arch::Arm64 => "aarch64-pc-windows-msvc",
        }
    }
}

/// Builds a plugin's driver, `target/kp/<plugin>/windows-x86_64/kp-<plugin>.sys` or `…/windows-arm64/…`, and says where it is. Its
/// INF and its debug information lie beside it.
///
/// # Errors
/// A tool that is missing, or what compiler, linker or a check refuses.
pub fn driver(plugin: &Plugin, arch: Arch, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let _alone = super::lock(plugin)?;
    progress(&format!("{}: compiling and linking for {}", plugin.name, arch.triple()));
    let output = plugin.output.join(&plugin.name).join(arch.folder());
    let built = glue::build(plugin, arch, &output.join("glue"))?;
    let driver = output.join(format!("kp-{}.sys", plugin.name));
    let bytes = fs::read(&built.program).with_context(|| format!("cannot read {}", built.program.display()))?;
    pe::driver(&bytes, arch)?;
    let object = fs::read(&built.object).with_context(|| format!("cannot read {}", built.object.display()))?;
    pe::paths::handlers(&object, plugin.no_free)?;
    // By the name that the driver has for it.
    let symbols = built.symbols.file_name().context("debug information without a name")?;
    fs::copy(&built.symbols, output.join(symbols)).context("cannot copy the debug information")?;
    super::write(&driver.with_extension("inf"), inf::generate(plugin, &Info::from_driver(&bytes)?, arch))?;
    super::write(&driver, &bytes)?;
    Ok(driver)
}
