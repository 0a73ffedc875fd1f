//! The compiler of kernel code. It builds core with the flags of kernel code, for which it needs core's source.
//!
//! A toolchain is a folder, its sysroot, wherever it came from; `search` says where one may lie, and refuses what is not whole.
mod search;

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

pub(crate) use self::search::from_environment;

/// Debian's lld, by the name under which it takes the options of Microsoft's linker.
const DEBIANS_LLD: &str = "/usr/lib/llvm-22/bin/lld-link";

/// A compiler, the Cargo of the same version, and the source of its library: they have to be used together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The folder that its programs and libraries are in.
    sysroot: PathBuf,
    /// The source of its library, which some distributions keep elsewhere.
    library: PathBuf,
    /// As in `1.96.0`.
    version: String,
    /// The target that the compiler itself was made for.
    host: String,
    /// Whether it is what one finds on this system unless something else was installed or asked for.
    usual: bool,
}

impl Toolchain {
    /// The one of a choice, a folder or the name of one of rustup's; without one, the first that is whole of those where
    /// toolchains lie.
    ///
    /// # Errors
    /// A part of it is missing, or it is too old. The message says what to do.
    pub fn find(choice: Option<&str>) -> Result<Toolchain> {
        search::Machine::this().find(choice)
    }

    /// Its Cargo with its compiler, untouched by the settings of the Cargo that started this program.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(program(&self.sysroot, "cargo"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let keeps = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];
            let foreign = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];
            if foreign.iter().any(|start| name.starts_with(start)) && !keeps.iter().any(|start| name.starts_with(start))
            {
                command.env_remove(&*name);
            }
        }
        // `cargo run` puts its own toolchain's libraries there.
        command.env_remove("LD_LIBRARY_PATH");
        // build-std and the -Z flags are nightly features; this variable opens them on a release compiler.
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", program(&self.sysroot, "rustc"));
        command.env("RUSTDOC", program(&self.sysroot, "rustdoc"));
        if self.library != library_in(&self.sysroot) {
            // Cargo looks for the source in the sysroot alone. There is no other way to say where it is.
            command.env("__CARGO_TESTS_ONLY_SRC_ROOT", &self.library);
        }
        command
    }

    /// Its compiler by itself, for what is no package.
    #[cfg(unix)]
    pub fn rustc(&self) -> Command {
        let mut command = Command::new(program(&self.sysroot, "rustc"));
        command.env_remove("LD_LIBRARY_PATH").env("RUSTC_BOOTSTRAP", "1");
        command
    }

    /// The folder with the source of its libraries.
    pub fn library_source(&self) -> &Path {
        &self.library
    }

    /// Its version and where it is, as in `Rust 1.96.0 in /usr`.
    pub fn name(&self) -> String {
        format!("Rust {} in {}", self.version, self.sysroot.display())
    }

    /// [`name`](Self::name), unless it is the one that everybody on such a system has.
    pub fn unusual_name(&self) -> Option<String> {
        (!self.usual).then(|| self.name())
    }

    /// What links drivers for Windows: lld 22 or later, which knows `/RELEASE`, the option that writes the checksum.
    ///
    /// # Errors
    /// It isn't there. The message says what to do.
    pub fn linker(&self) -> Result<PathBuf> {
        let own = self.sysroot.join("lib/rustlib").join(&self.host).join("bin").join(format!("rust-lld{EXE_SUFFIX}"));
        linker(&own, cfg!(unix).then_some(Path::new(DEBIANS_LLD)))
    }
}

/// The linker of a toolchain: its own, or else Debian's.
fn linker(own: &Path, debians: Option<&Path>) -> Result<PathBuf> {
    match (own.exists(), debians) {
        (true, _) => Ok(own.into()),
        (false, Some(debians)) if debians.exists() => Ok(debians.into()),
        (false, Some(debians)) => bail!(
            "lld 22 is missing, there is neither {} nor {}: apt-get install lld-22, or use rustup's Rust, which has it",
            own.display(),
            debians.display()
        ),
        (false, None) => bail!("there is no {}: install Rust with rustup, https://rustup.rs", own.display()),
    }
}

/// Where a toolchain has its library's source, if it has it itself.
fn library_in(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

/// One of the programs of a toolchain.
fn program(sysroot: &Path, name: &str) -> PathBuf {
    sysroot.join("bin").join(format!("{name}{EXE_SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::linker;
    use std::fs;

    #[test]
    fn a_toolchains_own_linker_goes_before_debians_and_without_either_both_are_named() {
        let dir = tempfile::TempDir::with_prefix("kp-").unwrap();
        let (own, debians) = (dir.path().join("rust-lld"), dir.path().join("lld-link"));
        let missing = linker(&own, Some(&debians)).unwrap_err().to_string();
        assert!(missing.starts_with("lld 22 is missing") && missing.contains("apt-get install lld-22"), "{missing}");
        assert!([&own, &debians].iter().all(|path| missing.contains(path.to_str().unwrap())), "{missing}");
        fs::write(&debians, "").unwrap();
        assert_eq!(linker(&own, Some(&debians)).unwrap(), debians);
        fs::write(&own, "").unwrap();
        assert_eq!(linker(&own, Some(&debians)).unwrap(), own);
    }
}
