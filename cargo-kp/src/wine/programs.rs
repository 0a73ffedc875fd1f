//! Programs for Windows, built here: with Debian's compiler, the standard library from source, and mingw-w64's linker.
use crate::{
    build::toolchain::Toolchain,
    packages::{Packages, Purpose, ThisMachine},
    programs::run_cargo,
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

const TARGET: &str = "x86_64-pc-windows-gnu";
const GCC: &str = "x86_64-w64-mingw32-gcc";

/// The one function of bcryptprimitives.dll that Rust's standard library needs and Wine 8 has not.
const RANDOM: &str = include_str!("bcryptprimitives.c");

/// Where they are built.
fn folder() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    Ok(metadata.target_directory.join("kp/windows").into())
}

/// Builds a package's program of the same name, and says where the .exe is. The standard library takes a minute the first time.
pub fn build_program(package: &str, setup: bool) -> Result<PathBuf> {
    cargo("build", package, &["--bin", package], setup)
}

/// Builds an example of a package, and says where the .exe is.
pub fn build_example(package: &str, name: &str, setup: bool) -> Result<PathBuf> {
    cargo("build", package, &["--example", name], setup)
}

/// Builds the unit tests of a package's library as one program, and says where it is.
pub fn build_tests(package: &str, setup: bool) -> Result<PathBuf> {
    cargo("test", package, &["--lib", "--no-run"], setup)
}

fn cargo(command: &str, package: &str, arguments: &[&str], setup: bool) -> Result<PathBuf> {
    Packages::new(&ThisMachine).require(&[Purpose::Windows], setup)?;
    let mut cargo = Toolchain::find()?.cargo();
    // Without debug information, which would only take time. Statically linked: users have no mingw-w64.
    cargo
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", GCC)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let folder = folder()?;
    // mingw-w64's dlltool leaves a file behind for each library that it makes: they go with this folder.
    let temporary = folder.join(format!("tmp-{}", std::process::id()));
    fs::create_dir_all(&temporary).with_context(|| format!("cannot make {}", temporary.display()))?;
    cargo.env("TMPDIR", &temporary);
    let folder = folder.to_str().context("the target folder's name is not UTF-8")?;
    // One list for programs and tests, so that the standard library is built once. Clippy does not see what is for Windows only; the
    // compiler's warnings at least are errors.
    let target = [
        "--quiet",
        "-Zwarnings",
        "--config",
        "build.warnings=\"deny\"",
        "-Zbuild-std=std,panic_unwind,test",
        "--target",
        TARGET,
        "--target-dir",
        folder,
    ];
    let arguments: Vec<&str> = target.into_iter().chain(arguments.iter().copied()).collect();
    let built = run_cargo(cargo, command, package, &arguments);
    fs::remove_dir_all(&temporary).with_context(|| format!("cannot remove {}", temporary.display()))?;
    built
}

/// Builds the library that stands in for bcryptprimitives.dll, and says where it is.
pub fn random_library() -> Result<PathBuf> {
    let folder = folder()?;
    let (source, library) = (folder.join("bcryptprimitives.c"), folder.join("bcryptprimitives.dll"));
    if fs::read_to_string(&source).is_ok_and(|built| built == RANDOM) && library.exists() {
        return Ok(library);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _ = fs::remove_file(&library);
    fs::write(&source, RANDOM).with_context(|| format!("cannot write {}", source.display()))?;
    let status = Command::new(GCC)
        .args(["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-s", "-o"])
        .args([&library, &source])
        .arg("-ladvapi32")
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {GCC}"))?;
    if !status.success() {
        bail!("{} does not compile: see above", source.display());
    }
    Ok(library)
}
