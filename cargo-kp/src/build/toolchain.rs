//! The compiler of kernel code. It builds core with the flags of kernel code, for which it needs core's source.
use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The oldest compiler that builds the ports, `1.95`: it has `--remap-path-scope`.
const OLDEST_MINOR: u32 = 95;
/// What to do where rustup's toolchain is missing.
const RUSTUP: &str = "install Rust with rustup, https://rustup.rs";
/// Debian's lld, by the name under which it takes the options of Microsoft's linker.
const DEBIANS_LLD: &str = "/usr/lib/llvm-22/bin/lld-link";

/// A compiler and the Cargo of the same version, which have to be used together.
pub struct Toolchain {
    /// Whose it is.
    owner: Owner,
    /// The folder that its programs, libraries and sources are in.
    sysroot: PathBuf,
}

/// Who keeps a toolchain up to date.
#[derive(Clone, Copy)]
enum Owner {
    /// On Linux: the versions are the same on every machine, whatever comes first in `PATH`.
    Debian,
    /// On Windows, where its component rust-src has core's source.
    Rustup,
}

impl Toolchain {
    /// The one that this system builds kernel code with: Debian's on Linux, on Windows that of the `rustc` in `PATH`.
    ///
    /// # Errors
    /// A part of it is missing, or it is too old. The message says what to do.
    pub fn find() -> Result<Toolchain> {
        let toolchain = Self::here()?;
        toolchain.check()?;
        Ok(toolchain)
    }

    /// The same, whether all of it is there or not.
    ///
    /// # Errors
    /// There is none at all.
    pub(crate) fn here() -> Result<Toolchain> {
        Ok(match cfg!(windows) {
            true => Toolchain { owner: Owner::Rustup, sysroot: sysroot()? },
            false => Toolchain { owner: Owner::Debian, sysroot: "/usr".into() },
        })
    }

    /// Refuses what is not whole, or too old.
    fn check(&self) -> Result<()> {
        let version = said_by(&self.program("rustc"), &["-V"]).filter(|_| self.program("cargo").exists());
        let has_source = self.library_source().join("core").exists();
        complete(self.owner, version.as_deref(), has_source)
    }

    /// Its Cargo with its compiler, untouched by the settings of the Cargo that started this program.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(self.program("cargo"));
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
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", self.program("rustc")).env("RUSTDOC", self.program("rustdoc"));
        command
    }

    /// Its compiler by itself, for what is no package.
    #[cfg(unix)]
    pub fn rustc(&self) -> Command {
        let mut command = Command::new(self.program("rustc"));
        command.env_remove("LD_LIBRARY_PATH").env("RUSTC_BOOTSTRAP", "1");
        command
    }

    /// The folder with the source of its libraries.
    pub fn library_source(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }

    /// What links drivers for Windows: lld 22 or later, which knows `/RELEASE`, the option that writes the checksum.
    ///
    /// # Errors
    /// It isn't there. The message says what to do.
    pub fn linker(&self) -> Result<PathBuf> {
        let path = match self.owner {
            Owner::Debian => PathBuf::from(DEBIANS_LLD),
            Owner::Rustup => {
                let own_target = self.sysroot.join("lib/rustlib").join(host(&self.program("rustc"))?);
                own_target.join("bin").join(format!("rust-lld{EXE_SUFFIX}"))
            }
        };
        match (path.exists(), self.owner) {
            (true, _) => Ok(path),
            (false, Owner::Debian) => bail!("lld 22 is missing: apt-get install lld-22"),
            (false, Owner::Rustup) => bail!("no rust-lld beside the rustc in PATH: {RUSTUP}"),
        }
    }

    fn program(&self, name: &str) -> PathBuf {
        self.sysroot.join("bin").join(format!("{name}{EXE_SUFFIX}"))
    }
}

/// Whether a toolchain is one that builds the ports. `version` is what its compiler says, if that and its Cargo are there.
fn complete(owner: Owner, version: Option<&str>, has_source: bool) -> Result<()> {
    let minor = version.and_then(|version| version.split('.').nth(1)?.parse::<u32>().ok());
    let is_new = minor.is_some_and(|minor| minor >= OLDEST_MINOR);
    match owner {
        _ if is_new && has_source => Ok(()),
        Owner::Debian => bail!(
            "Debian's Rust 1.{OLDEST_MINOR} or later with its sources is missing: apt-get install rustc-web cargo-web rust-web-src"
        ),
        Owner::Rustup if !is_new => bail!("Rust 1.{OLDEST_MINOR} or later, with its Cargo, is missing: rustup update"),
        Owner::Rustup => bail!("the source of Rust's core library is missing: rustup component add rust-src"),
    }
}

/// Where the `rustc` in `PATH` has its toolchain.
fn sysroot() -> Result<PathBuf> {
    let said = said_by(Path::new("rustc"), &["--print", "sysroot"]);
    Ok(PathBuf::from(said.with_context(|| format!("no rustc in PATH: {RUSTUP}"))?.trim()))
}

/// The target that a compiler itself was made for.
fn host(rustc: &Path) -> Result<String> {
    let said = said_by(rustc, &["-vV"]).unwrap_or_default();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.with_context(|| format!("{} does not name its host", rustc.display()))?.to_owned())
}

/// What a program writes, if it succeeds.
fn said_by(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::{Owner, complete};

    #[test]
    fn what_a_toolchain_lacks_is_named_with_the_command_that_brings_it() {
        let lacks = |owner, version, has_source| complete(owner, version, has_source).unwrap_err().to_string();
        let debian =
            "Debian's Rust 1.95 or later with its sources is missing: apt-get install rustc-web cargo-web rust-web-src";
        let old = "Rust 1.95 or later, with its Cargo, is missing: rustup update";
        let source = "the source of Rust's core library is missing: rustup component add rust-src";
        for (version, has_source) in [(None, true), (Some("rustc 1.94.0"), true)] {
            assert_eq!(lacks(Owner::Debian, version, has_source), debian);
            assert_eq!(lacks(Owner::Rustup, version, has_source), old);
        }
        let new = Some("rustc 1.95.0");
        assert_eq!(lacks(Owner::Debian, new, false), debian);
        assert_eq!(lacks(Owner::Rustup, new, false), source);
        assert!(complete(Owner::Debian, new, true).is_ok() && complete(Owner::Rustup, new, true).is_ok());
    }
}
