//! What the generated crates of both systems have in common.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::plugin::Plugin;
use super::toolchain::Toolchain;
use super::windows::fnv;
use super::wrapper;

/// What the generated crates have in common. A workspace of their own: the author's profiles and features stay out of it.
const MANIFEST: &str = r#"version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[profile.release]
panic = "abort"
lto = "fat"
codegen-units = 1
opt-level = 2
debug = 0
"#;

/// A generated crate's `Cargo.toml`: `name`, which depends on the plugin and on these crates of kp's, with `more` sections.
pub fn manifest(plugin: &Plugin, name: &str, crates: &[(&str, &toml::Table)], more: &str) -> Result<String> {
    let dir = plugin.dir.to_str().with_context(|| format!("{} isn't UTF-8", plugin.dir.display()))?;
    let plugin_at = toml::Table::from_iter([("path".to_owned(), dir.into())]);
    let crates = crates.iter().map(|&(name, from)| (name.to_owned(), from.clone().into()));
    let dependencies = [(plugin.name.clone(), plugin_at.into())].into_iter().chain(crates).collect::<toml::Table>();
    let table = toml::Table::from_iter([("dependencies".to_owned(), dependencies.into())]);
    Ok(format!("[package]\nname = \"{name}\"\n{MANIFEST}\n{more}{}", toml::to_string(&table)?))
}

/// Builds with the versions that the author's lock file names. Cargo drops from the crate's own what it doesn't need, so a
/// second copy says whether the author's has changed since.
pub fn lock(plugin: &Plugin, dir: &Path) -> Result<()> {
    let Ok(author) = fs::read_to_string(plugin.workspace.join("Cargo.lock")) else { return Ok(()) };
    if super::write(&dir.join("Cargo.lock.author"), &author)? {
        super::write(&dir.join("Cargo.lock"), &author)?;
    }
    Ok(())
}

/// One compiler and the flags that it gets, for a plugin's generated crate.
pub struct Compiler<'a> {
    plugin: &'a Plugin,
    toolchain: Toolchain,
    /// As Cargo takes them.
    flags: String,
}

impl<'a> Compiler<'a> {
    /// Adds what keeps this machine's folders out of the object: panic messages say examples/edu/plugin/src/lib.rs and
    /// library/core/src/option.rs on each, and the object is the same.
    pub fn new(plugin: &'a Plugin, toolchain: Toolchain, flags: &[&str]) -> Compiler<'a> {
        let library = format!("--remap-path-prefix={}=library", toolchain.library_source().display());
        let workspace = format!("--remap-path-prefix={}=", plugin.workspace.display());
        let remap = [library.as_str(), workspace.as_str(), "--remap-path-scope=object"];
        let flags = flags.iter().copied().chain(plugin.schema.flag()).chain(remap).collect::<Vec<_>>().join("\x1f");
        Compiler { plugin, toolchain, flags }
    }

    /// Cargo for the crate in `dir`. It names the compiler if that is not the usual one.
    pub fn cargo(&self, dir: &Path) -> Command {
        if let Some(name) = self.toolchain.unusual_name() {
            eprintln!("{}: with {name}", self.plugin.name);
        }
        let mut cargo = self.toolchain.cargo();
        cargo.current_dir(dir).env("CARGO_ENCODED_RUSTFLAGS", &self.flags).env("CARGO_TARGET_DIR", self.target_dir());
        wrapper::wrap(&mut cargo);
        cargo
    }

    /// Where it builds: a folder for each compiler and set of flags. Cargo keeps what two of them make apart for some files only. In
    /// one folder it would build everything anew, core too, whenever two workspaces with one `CARGO_TARGET_DIR` take turns, and might
    /// take a driver that the other compiler has linked for this one's.
    pub fn target_dir(&self) -> PathBuf {
        let key = format!("{}\x1f{}", self.toolchain.name(), self.flags);
        self.plugin.output.join("build").join(format!("{:016x}", fnv(key.as_bytes(), 0)))
    }
}
