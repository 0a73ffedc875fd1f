//! The generated crate that ties a plugin to the Linux port, and its build with Debian's compiler; what all generated crates share.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;

use super::plugin::Plugin;

/// The only target there is so far. It has no operating system, no red zone and no SSE.
const TARGET: &str = "x86_64-unknown-none";
/// Debian's compiler. Its core library comes as source, which `-Zbuild-std` needs to build it with the flags below.
pub(super) const RUSTC: &str = "/usr/bin/rustc";
/// Its Cargo. Both have to be of one version, so a Cargo that comes first in `PATH` isn't used.
const CARGO: &str = "/usr/bin/cargo";
/// Where Debian keeps core's source.
const CORE: &str = "/usr/lib/rustlib/src/rust/library/core";
/// The oldest compiler that builds the port: `1.88`.
const OLDEST_MINOR: u32 = 88;

/// Makes code a module may hold, and code for which the objtool of kernels with all mitigations has no warning. The C glue
/// has stand-ins for the thunks, so one object serves kernels without them too.
const FLAGS: &[&str] = &[
    // What is run rarely is to be small, which only a build like this one can ask for.
    "--cfg=kp_driver",
    // Modules lie in the top 2 GiB and have no global offset table.
    "-Crelocation-model=static",
    "-Zplt=yes",
    // CONFIG_MITIGATION_RETHUNK, and with the next ones CONFIG_MITIGATION_SLS: no return and no indirect jump is left to harden.
    "-Zfunction-return=thunk-extern",
    // CONFIG_X86_KERNEL_IBT.
    "-Zcf-protection=branch",
    // CONFIG_MITIGATION_RETPOLINE.
    "-Cjump-tables=n",
    "-Zretpoline-external-thunk=yes",
    "-Zindirect-branch-cs-prefix=yes",
    // CONFIG_CALL_PADDING.
    "-Zpatchable-function-entry=16,16",
];

/// What the build of the generated crate gives.
pub struct Built {
    /// The static library: plugin, port, core and compiler_builtins.
    pub archive: PathBuf,
    /// The port's folder of C sources and its `Kbuild`.
    pub kbuild: PathBuf,
}

/// Generates the crate and builds it. Compiler messages go to standard error.
pub fn build(plugin: &Plugin) -> Result<Built> {
    compiler()?;
    let dir = plugin.output.join(&plugin.name).join("linux-x86_64/glue");
    let name = format!("kp-glue-{}", plugin.name);
    let library = "[lib]\ncrate-type = [\"staticlib\"]\n\n";
    super::write(&dir.join("Cargo.toml"), manifest(plugin, &name, ("kp-linux", &plugin.port), library)?)?;
    super::write(
        &dir.join("src/lib.rs"),
        format!("#![no_std]\n#![feature(optimize_attribute)]\nkp_linux::glue!({}::__KpPlugin);\n", plugin.crate_name),
    )?;
    lock(plugin, &dir)?;

    let target_dir = plugin.output.join("build");
    // Panic messages say examples/edu/plugin/src/lib.rs on every machine, and the object is the same on each.
    let remap = format!("--remap-path-prefix={}=", plugin.workspace.display());
    let flags = FLAGS.iter().copied().chain([remap.as_str(), "--remap-path-scope=object"]);
    let status = cargo()
        .current_dir(&dir)
        .args(["build", "--release", "-Zbuild-std=core,alloc", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.collect::<Vec<_>>().join("\x1f"))
        .status()
        .with_context(|| format!("cannot run {CARGO}"))?;
    if !status.success() {
        bail!("{} doesn't compile for {TARGET}; the compiler's messages are above", plugin.name);
    }
    let archive = target_dir.join(TARGET).join("release").join(format!("lib{}.a", name.replace('-', "_")));
    Ok(Built { archive, kbuild: kbuild(&dir)? })
}

/// Refuses to go on without Debian's compiler and core's source.
pub fn compiler() -> Result<()> {
    let version =
        Command::new(RUSTC).arg("-V").output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let minor = version.as_deref().and_then(|version| version.split('.').nth(1)?.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < OLDEST_MINOR) || !Path::new(CARGO).exists() || !Path::new(CORE).exists() {
        bail!(
            "Debian's Rust 1.{OLDEST_MINOR} or later with its sources is missing: apt-get install rustc-web cargo-web rust-web-src"
        );
    }
    Ok(())
}

/// Debian's Cargo with Debian's compiler, untouched by the settings of the Cargo that started this program.
pub fn cargo() -> Command {
    let mut command = Command::new(CARGO);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let keeps = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];
        let toolchain = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];
        if toolchain.iter().any(|start| name.starts_with(start)) && !keeps.iter().any(|start| name.starts_with(start)) {
            command.env_remove(&*name);
        }
    }
    // `cargo run` puts its own toolchain's libraries there.
    command.env_remove("LD_LIBRARY_PATH");
    // build-std and the -Z flags are nightly features; this variable opens them on a release compiler.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", RUSTC);
    command
}

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

/// A generated crate's `Cargo.toml`: `name`, which depends on the plugin and on `port`, with `more` sections.
pub(super) fn manifest(plugin: &Plugin, name: &str, (port, from): (&str, &toml::Table), more: &str) -> Result<String> {
    let dir = plugin.dir.to_str().with_context(|| format!("{} isn't UTF-8", plugin.dir.display()))?;
    let plugin_at = toml::Table::from_iter([("path".to_owned(), dir.into())]);
    let dependencies = [(plugin.name.clone(), plugin_at.into()), (port.to_owned(), from.clone().into())];
    let table = toml::Table::from_iter([("dependencies".to_owned(), toml::Table::from_iter(dependencies).into())]);
    Ok(format!("[package]\nname = \"{name}\"\n{MANIFEST}\n{more}{}", toml::to_string(&table)?))
}

/// Builds with the versions that the author's lock file names. Cargo drops from the crate's own what it doesn't need, so a
/// second copy says whether the author's has changed since.
pub(super) fn lock(plugin: &Plugin, dir: &Path) -> Result<()> {
    let Ok(author) = fs::read_to_string(plugin.workspace.join("Cargo.lock")) else { return Ok(()) };
    if super::write(&dir.join("Cargo.lock.author"), &author)? {
        super::write(&dir.join("Cargo.lock"), &author)?;
    }
    Ok(())
}

/// Where the port's C sources lie, wherever Cargo took the port from.
fn kbuild(dir: &Path) -> Result<PathBuf> {
    let output = cargo().current_dir(dir).args(["metadata", "--format-version=1"]).output()?;
    if !output.status.success() {
        bail!("cannot read the generated crate's metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata = MetadataCommand::parse(String::from_utf8(output.stdout)?)?;
    let port = metadata.packages.iter().find(|package| package.name.as_str() == "kp-linux");
    let port = port.context("the generated crate doesn't depend on kp-linux")?;
    Ok(port.manifest_path.with_file_name("kbuild").into())
}
