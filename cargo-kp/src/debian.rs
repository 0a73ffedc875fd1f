//! Debian systems in folders, made once by debootstrap and kept in kp's cache: what is installed can be looked at there.

use crate::kernels::{Lock, cache_dir};
use crate::packages::{Machine as _, Packages, Purpose, ThisMachine, last_line};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite.
const SUITE: &str = "bookworm";

/// A system that somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// With udev and the tools for modules.
    Small,
    /// With DKMS and what kernels' headers need for modules too.
    Dkms,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            System::Small => "small",
            System::Dkms => "dkms",
        }
    }

    /// The packages beside those that every system has.
    fn packages(self) -> &'static str {
        match self {
            System::Small => "kmod,udev",
            System::Dkms => "kmod,udev,dkms,gcc,make,libc6-dev,libelf1,pahole",
        }
    }

    /// Its folder. What is there is used as it is, without the network.
    ///
    /// Fails if it cannot be made: that needs root.
    pub fn folder(self, setup: bool) -> Result<PathBuf> {
        let cache = cache_dir()?.join("roots");
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        let (folder, mark) = (cache.join(self.name()), cache.join(format!("{}.whole", self.name())));
        let _lock = Lock::take(&cache.join("lock"))?;
        if fs::read_to_string(&mark).is_ok_and(|made| made == self.packages()) && folder.join("etc").is_dir() {
            return Ok(folder);
        }
        if !ThisMachine.is_root() {
            bail!("a Debian system in a folder needs root, once: run this command as root");
        }
        Packages::new(&ThisMachine).require(&[Purpose::Root], setup)?;
        if folder.exists() {
            // Left by a process that died, or by one that wanted other packages.
            let _ = fs::remove_file(&mark);
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        eprintln!("making a Debian system in {}", folder.display());
        let include = format!("--include={}", self.packages());
        let mut debootstrap = alone("debootstrap");
        debootstrap.args(["--variant=minbase", &include, SUITE]).arg(&folder);
        let output = debootstrap.output().context("cannot run unshare: apt-get install util-linux")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("debootstrap failed: {}", last_line(&String::from_utf8_lossy(&said)));
        }
        fs::write(&mark, self.packages()).with_context(|| format!("cannot write {}", mark.display()))?;
        Ok(folder)
    }
}

/// A program that mounts for itself alone: when it has ended nothing is mounted in a system's folder.
fn alone(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", program]);
    command
}

/// A shell's program in a system's folder, with `/proc`, and these arguments.
pub fn shell(folder: &Path, script: &str, arguments: &[&str]) -> Command {
    let mut command = alone("sh");
    let inside = r#"mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh "$@""#;
    command.args(["-c", inside]).arg(folder).arg(script).args(arguments);
    command
}
