//! Programs for Windows, built here: with Debian's compiler, the standard library from source, and mingw-w64's linker.
//!
//! Those of 32 bits unwind by DWARF tables, as Debian's mingw-w64 does. The two objects with which Rust has such tables begin and end are
//! part of a compiler's own installation for that target, so they are built here too.
use super::Bits;
use crate::{
    build::toolchain::{self, Toolchain},
    packages::{Packages, ThisMachine},
    programs::run_cargo,
    temporary::TempFolder,
};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

impl Bits {
    fn target(self) -> &'static str {
        match self {
            Bits::B64 => "x86_64-pc-windows-gnu",
            Bits::B32 => "i686-pc-windows-gnu",
        }
    }

    /// What links programs. That of 32 bits has its threads from Windows, as only one of its two variants is asked for.
    fn gcc(self) -> &'static str {
        match self {
            Bits::B64 => "x86_64-w64-mingw32-gcc",
            Bits::B32 => "i686-w64-mingw32-gcc-win32",
        }
    }
}

/// The one function of bcryptprimitives.dll that Rust's standard library needs and Wine 8 has not.
const RANDOM: &str = include_str!("bcryptprimitives.c");

/// Where they are built.
fn folder() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    Ok(metadata.target_directory.join("kp/windows").into())
}

/// Builds a package's program of the same name, and says where the .exe is. The standard library takes a minute the first time.
pub fn build_program(package: &str, setup: bool) -> Result<PathBuf> {
    cargo(Bits::B64, "build", package, &["--bin", package], setup)
}

/// The same, for 32-bit x86.
pub fn build_program_32bit(package: &str, setup: bool) -> Result<PathBuf> {
    cargo(Bits::B32, "build", package, &["--bin", package], setup)
}

/// Builds an example of a package, and says where the .exe is.
pub fn build_example(package: &str, name: &str, setup: bool) -> Result<PathBuf> {
    cargo(Bits::B64, "build", package, &["--example", name], setup)
}

/// Builds the unit tests of a package's library as one program, and says where it is.
pub fn build_tests(package: &str, setup: bool) -> Result<PathBuf> {
    cargo(Bits::B64, "test", package, &["--lib", "--no-run"], setup)
}

/// The same, for 32-bit x86.
pub fn build_tests_32bit(package: &str, setup: bool) -> Result<PathBuf> {
    cargo(Bits::B32, "test", package, &["--lib", "--no-run"], setup)
}

fn cargo(bits: Bits, command: &str, package: &str, arguments: &[&str], setup: bool) -> Result<PathBuf> {
    Packages::new(&ThisMachine).require(bits.purposes(), setup)?;
    let toolchain = Toolchain::find(toolchain::from_environment().as_deref())?;
    let folder = folder()?;
    // Statically linked: users have no mingw-w64.
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), format!("-Clinker={}", bits.gcc())];
    if bits == Bits::B32 {
        flags.push(format!("-Lnative={}", start_up_objects(&toolchain, &folder)?.display()));
    }
    let mut cargo = toolchain.cargo();
    // Without debug information, which would only take time.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    // mingw-w64's dlltool leaves a file behind for each library that it makes: they go with this folder.
    let temporary = TempFolder::new(&folder, "tmp")?;
    cargo.env("TMPDIR", &temporary.path);
    let folder = folder.to_str().context("the target folder's name is not UTF-8")?;
    // One list for programs and tests, so that the standard library is built once; sooner without its backtraces. Clippy does not see what
    // is for Windows only; the compiler's warnings at least are errors.
    let target = [
        "--quiet",
        "--package",
        package,
        "-Zwarnings",
        "--config",
        "build.warnings=\"deny\"",
        "-Zbuild-std=std,panic_unwind,test",
        "-Zbuild-std-features=panic-unwind",
        "--target",
        bits.target(),
        "--target-dir",
        folder,
    ];
    // The tests send less to 32-bit programs than pays for their being optimised.
    let profile: &[&str] = match bits {
        Bits::B64 => &[],
        Bits::B32 => &["--config", "profile.dev.package.conformance.opt-level=0"],
    };
    let arguments: Vec<&str> = target.iter().chain(profile).chain(arguments).copied().collect();
    run_cargo(cargo, command, package, &arguments)
}

/// Builds rsbegin.o and rsend.o for 32-bit programs, from the compiler's own source, and says in which folder they are.
fn start_up_objects(toolchain: &Toolchain, folder: &Path) -> Result<PathBuf> {
    let objects = folder.join("start-up");
    fs::create_dir_all(&objects).with_context(|| format!("cannot make {}", objects.display()))?;
    for name in ["rsbegin", "rsend"] {
        let object = objects.join(format!("{name}.o"));
        let mut rustc = toolchain.rustc();
        rustc.args(["--target", Bits::B32.target(), "--crate-type=lib", "--emit=obj", "-o"]).arg(&object);
        rustc.arg(toolchain.library_source().join("rtstartup").join(name).with_extension("rs"));
        if !rustc.stdin(Stdio::null()).status().context("cannot start rustc")?.success() {
            bail!("{} does not compile: see above", object.display());
        }
    }
    Ok(objects)
}

/// Builds the library that stands in for bcryptprimitives.dll, and says where it is.
pub fn random_library() -> Result<PathBuf> {
    random_library_of(Bits::B64)
}

pub(super) fn random_library_of(bits: Bits) -> Result<PathBuf> {
    let folder = folder()?.join(bits.target());
    let (source, library) = (folder.join("bcryptprimitives.c"), folder.join("bcryptprimitives.dll"));
    if fs::read_to_string(&source).is_ok_and(|built| built == RANDOM) && library.exists() {
        return Ok(library);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _ = fs::remove_file(&library);
    fs::write(&source, RANDOM).with_context(|| format!("cannot write {}", source.display()))?;
    let status = Command::new(bits.gcc())
        // In a 32-bit library the name would have the number of its arguments' bytes behind it, which Windows' own has not.
        .args(["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-s", "-Wl,--kill-at", "-o"])
        .args([&library, &source])
        .arg("-ladvapi32")
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", bits.gcc()))?;
    if !status.success() {
        bail!("{} does not compile: see above", source.display());
    }
    Ok(library)
}
