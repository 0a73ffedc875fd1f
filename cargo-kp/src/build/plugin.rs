//! Which package is the plugin, and what its `Cargo.toml` says of it.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use kp_tool::Message;

use super::license::License;
use super::toolchain;

/// A plugin's package, as far as a build needs it.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The package's name, which names the module too: `edu` becomes `kp-edu.ko`.
    pub name: String,
    /// The library's name in Rust source.
    pub crate_name: String,
    /// The folder of its `Cargo.toml`.
    pub dir: PathBuf,
    /// The package's version.
    pub version: String,
    /// What the module declares to the kernel, if there can be one.
    pub license: License,
    /// The package's description, or nothing.
    pub description: String,
    /// The package's authors, which may be none.
    pub authors: Vec<String>,
    /// `[package.metadata.kp] no-free = true`: the build refuses a path from the interrupt handlers to `free`.
    pub no_free: bool,
    /// `[package.metadata.kp] app = "…"`: the package of the program that `cargo kp vm` runs.
    pub app: Option<String>,
    /// `[package.metadata.kp] model = "…"`: what stands in for the device in the simulator.
    pub model: Option<Model>,
    /// How much of its interface a driver tells, as `[package.metadata.kp] schema = "…"` says.
    pub schema: Disclosure,
    /// The toolchain to build with, as `--toolchain` names it: what `KP_TOOLCHAIN` says, or else
    /// `[package.metadata.kp] toolchain = "…"`.
    pub toolchain: Option<String>,
    /// Where everything built for any plugin of the workspace goes: `target/kp`.
    pub output: PathBuf,
    /// The workspace's folder.
    pub workspace: PathBuf,
    /// How the generated crate names the Linux port: the value of its line in `[dependencies]`.
    #[cfg_attr(not(unix), expect(dead_code, reason = "modules are built on Linux"))]
    pub(super) port: toml::Table,
    /// The same, for the Windows port.
    pub(super) windows_port: toml::Table,
    /// kp-core, which says where kp's other crates are.
    pub(super) core: Package,
}

impl Plugin {
    /// How a generated crate names one of kp's crates that no driver needs.
    #[cfg_attr(not(unix), expect(dead_code, reason = "the simulator's program is for Linux"))]
    pub(super) fn companion(&self, name: &str) -> Result<toml::Table> {
        port(&self.core, name)
    }
}

/// What stands in for a device in the simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// A file of the package's, seen from its folder, with a type `Model` in it that has `new()`.
    File(PathBuf),
    /// The path of a type in Rust that has `new()`, one of kp-sim's: `kp_sim::edu::Edu`.
    Type(String),
}

impl Model {
    fn of(said: &serde_json::Value) -> Result<Option<Model>> {
        match said.as_str() {
            None if said.is_null() => Ok(None),
            Some(path) if path.contains("::") => {
                let is_path = path
                    .split("::")
                    .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
                if is_path {
                    Ok(Some(Model::Type(path.to_owned())))
                } else {
                    bail!("model = {said}: no path of a type")
                }
            }
            Some(file) if file.ends_with(".rs") => Ok(Some(Model::File(file.into()))),
            _ => bail!(
                r#"model = {said}: write a file, "tests/model/mod.rs", or a type of kp-sim's, "kp_sim::edu::Edu""#
            ),
        }
    }
}

/// How much of its interface a driver tells whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disclosure {
    /// Everything.
    All,
    /// Everything but the messages' documentation.
    Names,
    /// Nothing.
    Nothing,
}

impl Disclosure {
    fn of(said: &serde_json::Value) -> Result<Disclosure> {
        match said.as_str() {
            None if said.is_null() => Ok(Disclosure::All),
            Some("all") => Ok(Disclosure::All),
            Some("names") => Ok(Disclosure::Names),
            Some("none") => Ok(Disclosure::Nothing),
            _ => bail!(r#"schema = {said}: write "all", "names" or "none""#),
        }
    }

    /// What the compiler is told so that kp-core keeps to it.
    pub(super) fn flag(self) -> Option<&'static str> {
        match self {
            Disclosure::All => None,
            Disclosure::Names => Some("--cfg=kp_schema=\"names\""),
            Disclosure::Nothing => Some("--cfg=kp_schema=\"none\""),
        }
    }
}

/// Finds the plugin called `name` in the workspace around `dir`; without a name, the package at `dir` or the workspace's only
/// plugin.
///
/// # Errors
/// No package there, no such plugin, or more than one to choose from; then the message lists them.
pub fn select(name: Option<&str>, dir: &Path) -> Result<Plugin> {
    let metadata = MetadataCommand::new().current_dir(dir).exec().map_err(|error| no_workspace(error, dir))?;
    let using_core: Vec<&Package> = metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| package.dependencies.iter().any(|dependency| dependency.name == "kp-core"))
        .collect();
    let plugins: Vec<&Package> = using_core.iter().copied().filter(|package| calls_plugin_macro(package)).collect();
    let package = match name {
        Some(name) => match plugins.iter().find(|package| package.name.as_str() == name) {
            Some(package) => package,
            None => bail!("no plugin {name} in this workspace; {}", listed(&plugins)),
        },
        None => match (metadata.root_package(), plugins.as_slice()) {
            (Some(here), _) if plugins.iter().any(|package| package.id == here.id) => here,
            (_, [only]) => only,
            _ => bail!("which plugin? Name one with -p; {}", listed(&plugins)),
        },
    };
    describe(package, &metadata)
}

/// Why there is no workspace: in one line, if there is no `Cargo.toml`.
fn no_workspace(error: cargo_metadata::Error, dir: &Path) -> anyhow::Error {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    if dir.ancestors().any(|folder| folder.join("Cargo.toml").exists()) {
        return anyhow::Error::new(error).context("cannot read the Cargo workspace here");
    }
    Message::NoWorkspace { folder: dir.display().to_string() }.into()
}

/// Whether the package's library calls `plugin!`, which has to stand in the crate's root.
fn calls_plugin_macro(package: &Package) -> bool {
    let root = package.targets.iter().find(|target| target.is_lib()).and_then(|t| fs::read_to_string(&t.src_path).ok());
    let calls = |line: &str| line.starts_with("plugin!") || line.contains("kp_core::plugin!");
    root.is_some_and(|source| source.lines().map(str::trim_start).any(|line| !line.starts_with("//") && calls(line)))
}

/// Names the plugins to choose from.
fn listed(plugins: &[&Package]) -> String {
    if plugins.is_empty() {
        return "a plugin depends on kp-core and calls kp_core::plugin! in its lib.rs".to_owned();
    }
    let names: Vec<&str> = plugins.iter().map(|package| package.name.as_str()).collect();
    format!("there are: {}", names.join(", "))
}

/// Takes from the metadata what a build needs.
fn describe(package: &Package, metadata: &Metadata) -> Result<Plugin> {
    let library = package.targets.iter().find(|target| target.is_lib());
    let library = library.with_context(|| format!("{} has no library", package.name))?;
    let core = metadata.packages.iter().find(|package| package.name.as_str() == "kp-core");
    let core = core.with_context(|| format!("{} doesn't depend on kp-core", package.name))?;
    let dir = package.manifest_path.parent().context("a package without a folder")?;
    Ok(Plugin {
        name: package.name.to_string(),
        crate_name: library.name.replace('-', "_"),
        dir: dir.into(),
        version: package.version.to_string(),
        license: License::of(package.license.as_deref().unwrap_or(""), &package.metadata["kp"])
            .with_context(|| format!("[package.metadata.kp] of {}", package.name))?,
        description: package.description.clone().unwrap_or_default(),
        authors: package.authors.clone(),
        no_free: package.metadata["kp"]["no-free"].as_bool().unwrap_or(false),
        app: package.metadata["kp"]["app"].as_str().map(str::to_owned),
        model: Model::of(&package.metadata["kp"]["model"])
            .with_context(|| format!("[package.metadata.kp] of {}", package.name))?,
        schema: Disclosure::of(&package.metadata["kp"]["schema"])
            .with_context(|| format!("[package.metadata.kp] of {}", package.name))?,
        toolchain: toolchain::from_environment()
            .or_else(|| Some(package.metadata["kp"]["toolchain"].as_str()?.to_owned())),
        output: metadata.target_directory.join("kp").into(),
        workspace: metadata.workspace_root.clone().into(),
        port: port(core, "kp-linux")?,
        windows_port: port(core, "kp-windows")?,
        core: core.clone(),
    })
}

/// The crate called `name` from where kp-core came: the same repository folder, the same commit, or the same release.
fn port(core: &Package, name: &str) -> Result<toml::Table> {
    let mut port = toml::Table::new();
    let mut set = |key: &str, value: &str| port.insert(key.to_owned(), value.into());
    match core.source.as_ref().map(|source| source.repr.as_str()) {
        None => {
            let dir = core.manifest_path.parent().and_then(|dir| dir.parent()).context("kp-core has no folder")?;
            let dir = dir.join(name);
            if !dir.exists() {
                bail!("no {dir}: {name} has to lie beside kp-core");
            }
            set("path", dir.as_str());
        }
        Some(source) if source.starts_with("git+") => {
            let (address, commit) = source["git+".len()..].split_once('#').context("a git source without a commit")?;
            set("git", address.split('?').next().unwrap_or(address));
            set("rev", commit);
        }
        Some(_) => {
            set("version", &format!("={}", core.version));
        }
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_model_is_a_file_or_a_type() {
        let model = |said| Model::of(&json!({ "model": said })["model"]).map_err(|why| why.to_string());
        assert_eq!(Model::of(&json!({})["model"]).expect("it says nothing"), None);
        assert_eq!(model("tests/model/mod.rs"), Ok(Some(Model::File("tests/model/mod.rs".into()))));
        assert_eq!(model("kp_sim::edu::Edu"), Ok(Some(Model::Type("kp_sim::edu::Edu".to_owned()))));
        for wrong in ["edu", "kp_sim::", "kp_sim::edu::Edu; panic!()"] {
            assert!(model(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn how_much_is_told_of_an_interface_is_one_of_three_words() {
        let said = |said| {
            Disclosure::of(&json!({ "schema": said })["schema"]).map(Disclosure::flag).map_err(|why| why.to_string())
        };
        assert_eq!(Disclosure::of(&json!({})["schema"]).expect("it says nothing"), Disclosure::All);
        assert_eq!(said("all"), Ok(None));
        assert_eq!(said("names"), Ok(Some("--cfg=kp_schema=\"names\"")));
        assert_eq!(said("none"), Ok(Some("--cfg=kp_schema=\"none\"")));
        assert_eq!(said("some"), Err(r#"schema = "some": write "all", "names" or "none""#.to_owned()));
        assert!(Disclosure::of(&json!(true)).is_err());
    }
}
