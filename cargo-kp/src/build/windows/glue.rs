//! The generated program that ties a plugin to the Windows port, and its build with Debian's compiler.
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Arch;
use crate::build::glue;
use crate::build::plugin::Plugin;

/// A driver is a program that starts at `DriverEntry`, with nothing from the C library.
const FLAGS: &[&str] = &[
    // What is run rarely is to be small, which only a build like this one can ask for.
    "--cfg=kp_driver",
    "-Clinker-flavor=lld-link",
    "-Cpanic=abort",
    "-Clink-arg=/DRIVER",
    "-Clink-arg=/SUBSYSTEM:NATIVE,10.0",
    "-Clink-arg=/ENTRY:DriverEntry",
    "-Clink-arg=/NODEFAULTLIB",
    // A warning is an error.
    "-Clink-arg=/WX",
    // The checksum, without which Windows loads no driver.
    "-Clink-arg=/RELEASE",
    // The same bytes from the same source: a hash in place of the date.
    "-Clink-arg=/Brepro",
    // The kernel checks calls through pointers against the driver's list of functions.
    "-Ccontrol-flow-guard=yes",
    "-Clink-arg=/GUARD:CF",
    "-Clink-arg=/MERGE:.00cfg=.rdata",
    // What is given back once DriverEntry has returned: itself, and what only the build reads.
    "-Clink-arg=/SECTION:INIT,ERD",
    "-Clink-arg=/SECTION:.kp_info,RD",
];

/// What the build gives.
pub struct Built {
    /// The driver.
    pub program: PathBuf,
    /// Its debug information.
    pub symbols: PathBuf,
    /// What it was linked from, all but core's own functions for memory: each function in a section of its own.
    pub object: PathBuf,
}

/// Generates the program in `dir` and builds it. Compiler messages go to standard error.
pub fn build(plugin: &Plugin, arch: Arch, dir: &Path) -> Result<Built> {
    glue::compiler()?;
    let linker = linker()?;
    let name = format!("kp-{}", plugin.name);
    crate::build::write(
        &dir.join("Cargo.toml"),
        glue::manifest(plugin, &name, ("kp-windows", &plugin.windows_port), "")?,
    )?;
    crate::build::write(
        &dir.join("src/main.rs"),
        format!("#![no_std]\n#![no_main]\nkp_windows::glue!({}::__KpPlugin);\n", plugin.crate_name),
    )?;
    glue::lock(plugin, dir)?;

    let target_dir = plugin.output.join("build");
    let remap = format!("--remap-path-prefix={}=", plugin.workspace.display());
    let flags = FLAGS.iter().copied().chain([remap.as_str(), "--remap-path-scope=object"]);
    let linker_variable = format!("CARGO_TARGET_{}_LINKER", arch.triple().replace('-', "_").to_uppercase());
    let status = glue::cargo()
        .current_dir(dir)
        .args(["rustc", "--release", "-Zbuild-std=core,alloc,compiler_builtins,panic_abort"])
        .args(["-Zbuild-std-features=compiler-builtins-mem", "--target", arch.triple(), "--target-dir"])
        .arg(&target_dir)
        .args(["--", "--emit=obj"])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.collect::<Vec<_>>().join("\x1f"))
        .env(linker_variable, &linker)
        .status()
        .context("cannot run Debian's cargo")?;
    if !status.success() {
        bail!("{} doesn't compile for {}; the compiler's messages are above", plugin.name, arch.triple());
    }
    let folder = target_dir.join(arch.triple()).join("release");
    Ok(Built {
        program: folder.join(format!("{name}.exe")),
        symbols: folder.join(format!("{}.pdb", name.replace('-', "_"))),
        object: folder.join("deps").join(format!("{}.o", name.replace('-', "_"))),
    })
}

/// rust-lld of the toolchain that rustup has installed: unlike Debian's lld it knows `/RELEASE`, which writes the checksum.
fn linker() -> Result<PathBuf> {
    let rustc = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("rustc").args(arguments).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    match rust_lld(&rustc).filter(|path| path.exists()) {
        Some(path) => Ok(path),
        None => bail!("no rust-lld beside the rustc in PATH: {RUSTUP}"),
    }
}

/// What to do where it is missing.
pub(crate) const RUSTUP: &str = "install Rust with rustup, https://rustup.rs";

/// Where the toolchain of a `rustc` has its rust-lld, if it has one. The function runs that `rustc`, and gives what it says.
pub(crate) fn rust_lld(rustc: &dyn Fn(&[&str]) -> Option<String>) -> Option<PathBuf> {
    let (sysroot, version) = (rustc(&["--print", "sysroot"])?, rustc(&["-vV"])?);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    Some(PathBuf::from(sysroot.trim()).join("lib/rustlib").join(host).join("bin/rust-lld"))
}
