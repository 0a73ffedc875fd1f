//! A plugin as a Windows driver: the generated program that ties it to the Windows port, linked without the WDK.
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::glue;
use super::plugin::Plugin;

/// What `--kernel` says for it.
pub const NAME: &str = "windows";
const TARGET: &str = "x86_64-pc-windows-msvc";

/// A driver is a program that starts at `DriverEntry`, with a checksum, and with nothing from the C library.
const FLAGS: &[&str] = &[
    "-Clinker-flavor=lld-link",
    "-Cpanic=abort",
    "-Clink-arg=/DRIVER",
    "-Clink-arg=/SUBSYSTEM:NATIVE,10.0",
    "-Clink-arg=/ENTRY:DriverEntry",
    "-Clink-arg=/NODEFAULTLIB",
    "-Clink-arg=/RELEASE",
];

/// Compiles a plugin into `target/kp/<plugin>/windows-x86_64/kp-<plugin>.sys`, and says where that is. Compiler messages go to
/// standard error.
///
/// # Errors
/// A tool that is missing, a plugin that drives a device, or what compiler and linker refuse.
pub fn driver(plugin: &Plugin, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let _alone = super::lock(plugin)?;
    glue::compiler()?;
    let linker = linker()?;
    progress(&format!("{}: compiling and linking for Windows", plugin.name));
    let output = plugin.output.join(&plugin.name).join("windows-x86_64");
    let dir = output.join("glue");
    let name = format!("kp-{}", plugin.name);
    super::write(&dir.join("Cargo.toml"), manifest(plugin, &name)?)?;
    super::write(
        &dir.join("src/main.rs"),
        format!("#![no_std]\n#![no_main]\nkp_windows::glue!({}::__KpPlugin);\n", plugin.crate_name),
    )?;
    glue::lock(plugin, &dir)?;

    let target_dir = plugin.output.join("build");
    let remap = format!("--remap-path-prefix={}=", plugin.workspace.display());
    let flags = FLAGS.iter().copied().chain([remap.as_str(), "--remap-path-scope=object"]);
    let status = glue::cargo()
        .current_dir(&dir)
        .args(["build", "--release", "-Zbuild-std=core,alloc,compiler_builtins,panic_abort"])
        .args(["-Zbuild-std-features=compiler-builtins-mem", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.collect::<Vec<_>>().join("\x1f"))
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER", &linker)
        .status()
        .context("cannot run Debian's cargo")?;
    if !status.success() {
        bail!("{} doesn't compile for {TARGET}; the compiler's messages are above", plugin.name);
    }
    let program = target_dir.join(TARGET).join("release").join(format!("{name}.exe"));
    let driver = output.join(format!("{name}.sys"));
    std::fs::copy(&program, &driver).with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(driver)
}

/// rust-lld of the toolchain that rustup has installed: unlike Debian's lld it knows `/RELEASE`, which writes the checksum.
fn linker() -> Result<PathBuf> {
    let rustc = |argument: &[&str]| -> Option<String> {
        let output = Command::new("rustc").args(argument).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    let sysroot = rustc(&["--print", "sysroot"]);
    let version = rustc(&["-vV"]);
    let host = version.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("host: ")));
    let path = sysroot
        .as_deref()
        .zip(host)
        .map(|(sysroot, host)| PathBuf::from(sysroot.trim()).join("lib/rustlib").join(host).join("bin/rust-lld"));
    match path.filter(|path| path.exists()) {
        Some(path) => Ok(path),
        None => bail!("no rust-lld beside the rustc in PATH: install Rust with rustup, https://rustup.rs"),
    }
}

/// All of the program's `Cargo.toml` but its name and dependencies.
const MANIFEST: &str = r#"version = "0.0.0"
edition = "2024"
publish = false

# A workspace of its own: the author's profiles and features stay out of it.
[workspace]

[profile.release]
panic = "abort"
lto = "fat"
codegen-units = 1
opt-level = 2
debug = 0

"#;

/// The program's `Cargo.toml`.
fn manifest(plugin: &Plugin, name: &str) -> Result<String> {
    let dir = plugin.dir.to_str().with_context(|| format!("{} isn't UTF-8", plugin.dir.display()))?;
    let plugin_at = toml::Table::from_iter([("path".to_owned(), dir.into())]);
    let port = plugin.windows_port.clone();
    let dependencies = [(plugin.name.clone(), plugin_at.into()), ("kp-windows".to_owned(), port.into())];
    let table = toml::Table::from_iter([("dependencies".to_owned(), toml::Table::from_iter(dependencies).into())]);
    Ok(format!("[package]\nname = \"{name}\"\n{MANIFEST}{}", toml::to_string(&table)?))
}
