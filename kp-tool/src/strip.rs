//! A module without its debug information, as the kernel's own `make modules_install INSTALL_MOD_STRIP=1` and DKMS install modules.

use crate::machine::{has_program, run_program};
use object::{Object as _, ObjectSection as _};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Command;

/// What became of a module's debug information.
#[derive(Debug, PartialEq, Eq)]
pub enum Stripped {
    /// It is left out: the module without it. All code and data are as they were, and so are the names that a backtrace has.
    Done(Vec<u8>),
    /// There was none, or the module is signed, which any change would undo.
    AsItWas,
    /// This machine has no program that does it.
    NoProgram,
}

/// Leaves a module's debug information out.
///
/// # Errors
/// Files cannot be written here, or `strip` does not like the module.
pub fn without_debug(module: &[u8]) -> io::Result<Stripped> {
    if !has_debug(module) || module.ends_with(crate::module::SIGNED) {
        return Ok(Stripped::AsItWas);
    }
    if !has_program("strip") {
        return Ok(Stripped::NoProgram);
    }
    let folder = Folder::new()?;
    let file = folder.0.join("module.ko");
    fs::write(&file, module)?;
    let done = run_program(Command::new("strip").arg("--strip-debug").arg(&file))?;
    if !done.success {
        return Err(io::Error::other(format!("strip: {}", done.stderr.trim())));
    }
    Ok(Stripped::Done(fs::read(&file)?))
}

/// Whether a module has debug information.
pub fn has_debug(module: &[u8]) -> bool {
    let is_debug = |name: &str| name.starts_with(".debug_");
    object::File::parse(module).is_ok_and(|file| file.sections().any(|section| section.name().is_ok_and(is_debug)))
}

/// A folder for this process alone, gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let mut number = 0;
        loop {
            let path = std::env::temp_dir().join(format!("kp-strip-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing is lost if it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}
