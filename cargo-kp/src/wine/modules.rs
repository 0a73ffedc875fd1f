//! Wine's modules for 32-bit programs, without any 32-bit library of Linux.
//!
//! Debian's 64-bit Wine runs 32-bit programs by itself if it finds their modules: its kernel32.dll and so on are code for Windows alone,
//! which reaches the 64-bit libraries through its wow64.dll. They are in Debian's package for 32-bit machines. A few of them are taken out
//! of that, once, and kept in the cache: nothing is installed, and no architecture is added to the machine's package lists.
use crate::packages::{Packages, last_line};
use crate::temporary::TempFolder;
use anyhow::{Context, Result, bail};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// What the programs and Rust's standard library import, and what that imports.
const NAMES: [&str; 13] = [
    "advapi32.dll",
    "kernel32.dll",
    "kernelbase.dll",
    "msvcrt.dll",
    "newdev.dll",
    "ntdll.dll",
    "rpcrt4.dll",
    "sechost.dll",
    "setupapi.dll",
    "ucrtbase.dll",
    "userenv.dll",
    "version.dll",
    "ws2_32.dll",
];

/// What the folder of 32-bit modules is called in each of the folders that Wine searches.
const WINDOWS: &str = "i386-windows";
/// The 64-bit libraries that they reach, which Wine looks for beside that folder.
const UNIX: &str = "x86_64-unix";
/// Where the package for 32-bit machines has it, from the package's root.
const PACKAGED: &str = "usr/lib/i386-linux-gnu/wine/i386-windows";
/// Where Debian's 64-bit Wine has its libraries.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu/wine/x86_64-unix";

/// A folder that Wine can search for 32-bit modules.
#[derive(Debug)]
pub struct Modules(PathBuf);

impl Modules {
    /// Those of the Wine that is installed. They are downloaded if the cache lacks them, which needs no privileges.
    pub fn get(packages: &Packages, cache: &Path) -> Result<Self> {
        let query = ["--show", "--showformat=${Version}", "libwine:amd64"];
        let done = packages.machine().run(None, "dpkg-query", &query)?;
        if !done.success {
            bail!("Debian's Wine is not installed: {}apt-get install wine64", packages.sudo_hint());
        }
        let version = done.stdout.trim();
        let kept = cache.join(format!("32-bit-{version}"));
        if is_whole(&kept) {
            return Ok(Modules(kept));
        }
        eprintln!("getting Wine's modules for 32-bit programs, once: {}", kept.display());
        let new = TempFolder::new(cache, "new")?;
        make(packages, version, &new.path, &kept)?;
        Ok(Modules(kept))
    }

    /// What Wine's `WINEDLLPATH` has to say.
    pub fn search_path(&self) -> &Path {
        &self.0
    }

    /// Puts them where 32-bit programs look for them, in a machine's folder.
    pub fn put(&self, prefix: &Path) -> Result<()> {
        let system = prefix.join("drive_c/windows/syswow64");
        fs::create_dir_all(&system).with_context(|| format!("cannot make {}", system.display()))?;
        for name in NAMES {
            let module = self.0.join(WINDOWS).join(name);
            fs::copy(&module, system.join(name)).with_context(|| format!("cannot copy {}", module.display()))?;
        }
        Ok(())
    }
}

/// Whether all are there: an older tool may have wanted fewer.
fn is_whole(kept: &Path) -> bool {
    NAMES.iter().all(|name| kept.join(WINDOWS).join(name).exists())
}

/// Makes them at `kept`, by way of `new`.
fn make(packages: &Packages, version: &str, new: &Path, kept: &Path) -> Result<()> {
    let (package, folder) = (new.join("package"), new.join("folder"));
    let modules = folder.join(WINDOWS);
    for folder in [&package, &modules] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let deb = packages.download_foreign("i386", &package, "libwine", version)?;
    // Of 750 modules a few are wanted. `sh` joins the two programs; names come as arguments.
    let script =
        r#"deb="$1" into="$2"; shift 2; dpkg --fsys-tarfile "$deb" | tar -x -C "$into" --strip-components=6 "$@""#;
    let members: Vec<String> = NAMES.iter().map(|name| format!("./{PACKAGED}/{name}")).collect();
    let (deb, into) = (deb.to_string_lossy(), modules.to_string_lossy());
    let mut arguments = vec!["-c", script, "sh", &deb, &into];
    arguments.extend(members.iter().map(String::as_str));
    let done = packages.machine().run(None, "sh", &arguments)?;
    if !done.success {
        bail!("cannot unpack {deb}: {}", last_line(&done.stderr));
    }
    symlink(LIBRARIES, folder.join(UNIX)).context("cannot make a link to Wine's libraries")?;
    if !is_whole(kept) {
        let _ = fs::remove_dir_all(kept);
    }
    if let Err(error) = fs::rename(&folder, kept)
        && !is_whole(kept)
    {
        return Err(error).with_context(|| format!("cannot make {}", kept.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::fake::Fake;
    use tempfile::TempDir;

    fn with_wine() -> Fake {
        Fake::default().answer("dpkg-query --show --showformat=${Version} libwine:amd64", "8.0~repack-4")
    }

    #[test]
    fn modules_that_are_all_there_are_asked_of_nobody() {
        let cache = TempDir::with_prefix("kp-").unwrap();
        let kept = cache.path().join("32-bit-8.0~repack-4");
        fs::create_dir_all(kept.join(WINDOWS)).unwrap();
        let asked = || {
            let fake = with_wine();
            let found = Modules::get(&Packages::new(&fake), cache.path()).map(|modules| modules.0).ok();
            (found, fake.asked.borrow().len())
        };
        for name in &NAMES[1..] {
            fs::write(kept.join(WINDOWS).join(name), "").unwrap();
        }
        assert_eq!(asked(), (None, 3), "one is missing, and the lists and the package cannot be had");
        fs::write(kept.join(WINDOWS).join(NAMES[0]), "").unwrap();
        assert_eq!(asked(), (Some(kept.clone()), 1));
    }

    #[test]
    fn modules_that_cannot_be_had_are_one_line_and_leave_nothing() {
        let cache = TempDir::with_prefix("kp-").unwrap();
        let fake = with_wine();
        let error = Modules::get(&Packages::new(&fake), cache.path()).unwrap_err().to_string();
        let said = "apt-get offers no libwine 8.0~repack-4 for i386: E: no answer; check /etc/apt and the network";
        assert_eq!(error, said);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "something is left");
        let asked = fake.asked.borrow();
        let last = asked.last().unwrap();
        assert!(last.starts_with("apt-get ") && last.ends_with(" download libwine=8.0~repack-4"), "{last}");
        assert!(asked.iter().all(|command| !command.contains("install")), "{asked:?}");
    }

    #[test]
    fn without_wine_the_package_that_brings_it_is_named() {
        let cache = TempDir::with_prefix("kp-").unwrap();
        let error = Modules::get(&Packages::new(&Fake::default()), cache.path()).unwrap_err().to_string();
        assert_eq!(error, "Debian's Wine is not installed: sudo apt-get install wine64");
    }
}
