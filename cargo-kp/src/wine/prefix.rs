//! Wine's folders: a pristine one, made once and kept in the cache, and copies of it, one for each machine.
use super::command;
use crate::{kernels, temporary::TempFolder};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Debian's 64-bit Wine.
pub const LOADER: &str = "/usr/lib/wine/wine64";
/// Its server.
pub const SERVER: &str = "/usr/lib/wine/wineserver";

/// A machine's own folder, which is gone when the value is.
pub struct Copy(TempFolder);

impl Copy {
    /// Copies the pristine one; makes that first, if there is none of this version of Wine.
    pub fn make() -> Result<Self> {
        let cache = kernels::cache_dir()?.join("wine");
        let pristine = pristine(&cache)?;
        remove_left_over(&cache, &|process| Path::new("/proc").join(process).exists());
        let copy = TempFolder::new(&cache, "run")?;
        copy_tree(&pristine, &copy.path)?;
        Ok(Copy(copy))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

/// Removes the copies of tools that were killed: 700 MB each.
fn remove_left_over(cache: &Path, is_alive: &dyn Fn(&str) -> bool) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| {
            let rest = name.strip_prefix("run-").or_else(|| name.strip_prefix("new-"))?;
            rest.split('-').next()
        });
        if process.is_some_and(|process| !is_alive(process)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Copies what is in a folder into another.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let status =
        Command::new("cp").args(["-aT", "--reflink=auto"]).arg(from).arg(to).status().context("cannot start cp")?;
    if !status.success() {
        bail!("cannot copy {} to {}: is the disk full?", from.display(), to.display());
    }
    Ok(())
}

/// The pristine folder of this version of Wine. It takes 700 MB, and some seconds to make.
fn pristine(cache: &Path) -> Result<PathBuf> {
    let output = Command::new(LOADER).arg("--version").output().context("cannot start Wine")?;
    let version = String::from_utf8_lossy(&output.stdout);
    let name: String =
        version.trim().chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let pristine = cache.join(name);
    if pristine.exists() {
        return Ok(pristine);
    }
    eprintln!("making a folder for Wine, once: {}", pristine.display());
    let new = TempFolder::new(cache, "new")?;
    let quiet = |program: &str, arguments: &[&str]| -> Result<()> {
        let status =
            command(program, &new.path, None).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        match status.with_context(|| format!("cannot start {program}"))?.success() {
            true => Ok(()),
            false => bail!(
                "`{program} {}` failed: is Wine whole? apt-get install --reinstall wine64 libwine",
                arguments.join(" ")
            ),
        }
    };
    quiet(LOADER, &["wineboot", "--init"])?;
    // Until its server has ended, the registry is not written.
    quiet(SERVER, &["--wait"])?;
    if let Err(error) = fs::rename(&new.path, &pristine)
        && !pristine.exists()
    {
        return Err(error).with_context(|| format!("cannot make {}", pristine.display()));
    }
    Ok(pristine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_tool_has_left_is_removed_and_nothing_else() {
        let cache = tempfile::TempDir::with_prefix("kp-").unwrap();
        for name in ["run-1-0", "run-2-0", "run-2-1", "new-2", "wine-8.0"] {
            fs::create_dir_all(cache.path().join(name).join("drive_c")).unwrap();
        }
        remove_left_over(cache.path(), &|process| process == "1");
        let mut left: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["run-1-0", "wine-8.0"]);
    }
}
