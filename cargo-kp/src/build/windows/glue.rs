//! The generated program that ties a plugin to the Windows port, and its build.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::{Arch, repro};
use crate::build::c::{self, Kit};
use crate::build::plugin::Plugin;
use crate::build::toolchain::Toolchain;
use crate::build::{generated, write};
use generated::Compiler;

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
    /// The objects of the C code that it was linked from.
    pub c: Vec<Vec<u8>>,
}

/// Generates the program in `dir` and builds it, with a file of resources linked to it. Compiler messages go to standard error.
pub fn build(plugin: &Plugin, arch: Arch, dir: &Path, resources: &[u8]) -> Result<Built> {
    let compiler = compiler(plugin)?;
    let name = format!("kp-{}", plugin.name);
    write(&dir.join("Cargo.toml"), generated::manifest(plugin, &name, &[("kp-windows", &plugin.windows_port)], "")?)?;
    write(
        &dir.join("src/main.rs"),
        format!("#![no_std]\n#![no_main]\nkp_windows::glue!({}::__KpPlugin);\n", plugin.crate_name),
    )?;
    generated::lock(plugin, dir)?;
    // Named by what is in it, as Cargo links again for a new name only; and without a folder, as it hashes what it is asked for.
    let resource = format!("{name}-{:016x}.res", repro::fnv(resources, 0));
    write(&dir.join(&resource), resources)?;

    let toolchain = Toolchain::find(plugin.toolchain.as_deref())?;
    let c_kit = Kit::find(plugin, toolchain.cargo(), dir, arch.triple(), Some(&toolchain.linker()?), &[])?;
    let output = c_kit
        .give(&mut compiler.cargo(dir))
        .args(["rustc", "--release", "--message-format=json-render-diagnostics"])
        .arg("-Zbuild-std=core,alloc,compiler_builtins,panic_abort")
        .args(["-Zbuild-std-features=compiler-builtins-mem", "--target", arch.triple()])
        .args(["--", "--emit=obj", &format!("-Clink-arg={resource}")])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    let folder = folder(&compiler, arch);
    let object = folder.join("deps").join(format!("{}.o", name.replace('-', "_")));
    let c = c::objects(&output.stdout, arch.triple())?;
    if !output.status.success() {
        // The linker's own message is long, and has no advice.
        if let (false, Ok(rust)) = (c.is_empty(), fs::read(&object)) {
            c::nothing_is_missing(&c, &rust)?;
        }
        bail!("{} doesn't compile for {}; the compiler's messages are above", plugin.name, arch.triple());
    }
    Ok(Built {
        program: folder.join(format!("{name}.exe")),
        symbols: folder.join(format!("{}.pdb", name.replace('-', "_"))),
        object,
        c,
    })
}

/// Where Cargo leaves what a plugin's driver is made from: the program, its symbols, and its object in `deps`.
///
/// # Errors
/// The toolchain isn't whole.
pub fn built_in(plugin: &Plugin, arch: Arch) -> Result<PathBuf> {
    Ok(folder(&compiler(plugin)?, arch))
}

fn folder(compiler: &Compiler<'_>, arch: Arch) -> PathBuf {
    compiler.target_dir().join(arch.triple()).join("release")
}

/// The plugin's compiler, with the linker that goes with it.
fn compiler(plugin: &Plugin) -> Result<Compiler<'_>> {
    let toolchain = Toolchain::find(plugin.toolchain.as_deref())?;
    let linker = toolchain.linker()?;
    // Not by CARGO_TARGET_…_LINKER: on Windows that would be the linker of macros and build scripts too.
    let linker = format!("-Clinker={}", linker.to_str().context("the linker's path isn't UTF-8")?);
    Ok(Compiler::new(plugin, toolchain, &[FLAGS, &[linker.as_str()]].concat()))
}
