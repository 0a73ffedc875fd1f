//! A plugin as a Windows driver, built without the WDK: `glue` compiles and links it, `repro` makes it the same each time,
//! [`pe`](super::pe) checks it, `inf` writes what installs it, and `sign` signs it. `version` is the resource that has what
//! `product` says of it.
mod glue;
mod inf;
mod product;
mod repro;
pub(crate) mod sign;
mod version;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use self::glue::built_in;
pub use self::inf::Inf;
pub use self::product::Product;
pub(crate) use self::repro::fnv;
pub use self::sign::Signer;

use super::info::Info;
use super::plugin::Plugin;
use super::{c, pe};

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

    /// What `--target` says for it.
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
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Arch::X64 => "x86_64-pc-windows-msvc",
            Arch::Arm64 => "aarch64-pc-windows-msvc",
        }
    }
}

/// Where the driver is.
pub(super) fn path(plugin: &Plugin, arch: Arch) -> PathBuf {
    plugin.output.join(&plugin.name).join(arch.folder()).join(format!("kp-{}.sys", plugin.name))
}

/// Builds a plugin's driver, `target/kp/<plugin>/windows-x86_64/kp-<plugin>.sys` or `…/windows-arm64/…`, and says where it is. Its
/// INF and its debug information lie beside it.
///
/// # Errors
/// A tool that is missing, or what compiler, linker or a check refuses.
pub fn driver(plugin: &Plugin, arch: Arch, signer: &Signer, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let _alone = super::lock(plugin)?;
    progress(&format!("{}: compiling and linking for {}", plugin.name, arch.triple()));
    let driver = path(plugin, arch);
    let output = driver.parent().context("a driver without a folder")?;
    let product = Product::of(plugin)?;
    let built = glue::build(plugin, arch, &output.join("glue"), &version::resource(&product))?;
    progress(&format!("{}: checking the driver", plugin.name));
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (mut bytes, mut symbols) = (read(&built.program)?, read(&built.symbols)?);
    repro::seal(&mut bytes, &mut symbols)?;
    pe::driver(&bytes, arch)?;
    c::no_floating_point(&built.c)?;
    let objects = [vec![read(&built.object)?], built.c].concat();
    objects.iter().try_for_each(|object| pe::frames::fit(object))?;
    pe::paths::handlers(&objects, plugin.no_free)?;

    let inf = Inf { product: &product, info: &Info::from_driver(&bytes)?, arch };
    super::write(&driver.with_extension("inf"), inf.bytes())?;
    // By the name that the driver has for it.
    let name = built.symbols.file_name().context("debug information without a name")?;
    super::write(&output.join(name), symbols)?;
    signer.sign(&bytes, &driver)?;
    // A signature is behind all that, and the checksum has it in.
    pe::image::checksum(&read(&driver)?)?;
    Ok(driver)
}
