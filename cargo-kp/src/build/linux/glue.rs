//! The generated crate that ties a plugin to the Linux port, and its build.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use serde_json::{Value, json};

use super::sanitizer::Instrumentation;
use crate::build::c::Kit;
use crate::build::plugin::Plugin;
use crate::build::toolchain::Toolchain;
use crate::build::{generated, write};
use generated::Compiler;

/// The only target there is so far. It has no operating system, no red zone and no SSE.
const TARGET: &str = "x86_64-unknown-none";
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
pub fn build(plugin: &Plugin, instrumentation: &Instrumentation) -> Result<Built> {
    let toolchain = Toolchain::find(plugin.toolchain.as_deref())?;
    let dir = plugin.output.join(&plugin.name).join("linux-x86_64/glue");
    let name = format!("kp-glue-{}", plugin.name);
    let library = "[lib]\ncrate-type = [\"staticlib\"]\n\n";
    write(&dir.join("Cargo.toml"), generated::manifest(plugin, &name, &[("kp-linux", &plugin.port)], library)?)?;
    write(
        &dir.join("src/lib.rs"),
        format!("#![no_std]\n#![feature(optimize_attribute)]\nkp_linux::glue!({}::__KpPlugin);\n", plugin.crate_name),
    )?;
    generated::lock(plugin, &dir)?;

    let kbuild = kbuild(&toolchain, &dir)?;
    let c = Kit::find(plugin, toolchain.cargo(), &dir, TARGET, None, &instrumentation.c_flags)?;
    let flags: Vec<&str> = FLAGS.iter().copied().chain(instrumentation.flags.iter().map(String::as_str)).collect();
    let target = instrumentation.foreign.map(|sanitizer| with_sanitizer(&target_spec(&toolchain)?, sanitizer));
    let target = target.transpose()?;
    let compiler = Compiler::new(plugin, toolchain, &flags);
    let mut cargo = compiler.cargo(&dir);
    c.give(&mut cargo).args(["build", "--release", "-Zbuild-std=core,alloc", "--target"]);
    match target {
        None => cargo.arg(TARGET),
        Some(target) => {
            // Of the same name, which is that of Cargo's folders and of the C compiler's variables.
            let file = compiler.target_dir().join(format!("{TARGET}.json"));
            write(&file, target)?;
            cargo.arg(file).arg("-Zjson-target-spec")
        }
    };
    let status = cargo.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("{} doesn't compile for {TARGET}; the compiler's messages are above", plugin.name);
    }
    let archive = compiler.target_dir().join(TARGET).join("release").join(format!("lib{}.a", name.replace('-', "_")));
    Ok(Built { archive, kbuild })
}

/// What the compiler knows of its target, in JSON.
fn target_spec(toolchain: &Toolchain) -> Result<Vec<u8>> {
    let arguments = ["-Zunstable-options", "--print=target-spec-json", "--target", TARGET];
    let output = toolchain.rustc().args(arguments).output().context("cannot run rustc")?;
    if !output.status.success() {
        bail!("rustc does not tell of {TARGET}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// The same of one that is for this sanitizer too.
fn with_sanitizer(target: &[u8], sanitizer: &str) -> Result<String> {
    let mut target: Value = serde_json::from_slice(target).context("rustc's description of its target is no JSON")?;
    let supported = target["supported-sanitizers"].as_array_mut();
    supported.with_context(|| format!("rustc's {TARGET} has no list of sanitizers"))?.push(json!(sanitizer));
    Ok(format!("{target:#}\n"))
}

/// Where the port's C sources lie, wherever Cargo took the port from.
fn kbuild(toolchain: &Toolchain, dir: &Path) -> Result<PathBuf> {
    let output = toolchain.cargo().current_dir(dir).args(["metadata", "--format-version=1"]).output()?;
    if !output.status.success() {
        bail!("cannot read the generated crate's metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata = MetadataCommand::parse(String::from_utf8(output.stdout)?)?;
    let port = metadata.packages.iter().find(|package| package.name.as_str() == "kp-linux");
    let port = port.context("the generated crate doesn't depend on kp-linux")?;
    Ok(port.manifest_path.with_file_name("kbuild").into())
}
