//! A kernel's source, out of Debian's package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::kernels::Lock;
use crate::packages::{Machine, last_line};

/// What it takes, in MiB.
pub const MIB: u64 = 1200;

/// The file that says of which version a source is. It is written last.
const VERSION: &str = ".kp-version";
/// A fifth of all, of which no kernel of ours compiles anything, nor asks for its options.
const LEFT_OUT: [&str; 3] = ["*/drivers/gpu/drm/amd/include", "*/Documentation/devicetree", "*/tools/testing"];

/// The version of a package, if it is installed.
pub fn installed(machine: &dyn Machine, package: &str) -> Option<String> {
    let done = machine.run(None, "dpkg-query", &["--show", "--showformat=${db:Status-Abbrev}${Version}", package]);
    let done = done.ok().filter(|done| done.success)?;
    Some(done.stdout.trim().strip_prefix("ii ")?.to_owned())
}

/// Whether this version is in the cache.
pub fn is_unpacked(cache: &Path, package: &str, version: &str) -> bool {
    fs::read_to_string(folder(cache, package).join(VERSION)).is_ok_and(|is| is == version)
}

fn folder(cache: &Path, package: &str) -> PathBuf {
    cache.join("sources").join(package)
}

/// The folder with this version, unpacked into the cache if it is not there.
pub fn unpack(machine: &dyn Machine, cache: &Path, package: &str, version: &str) -> Result<PathBuf> {
    let dir = folder(cache, package);
    let sources = cache.join("sources");
    fs::create_dir_all(&sources).with_context(|| format!("cannot create {}", sources.display()))?;
    let _alone = Lock::take(&sources.join(format!("{package}.lock")))?;
    if is_unpacked(cache, package, version) {
        return Ok(dir);
    }
    if dir.exists() {
        // Another version, or a part of one.
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let archive = format!("/usr/src/{package}.tar.xz");
    eprintln!("unpacking {archive} ({version})");
    let into = dir.to_string_lossy();
    let left_out = LEFT_OUT.map(|pattern| format!("--exclude={pattern}"));
    let mut arguments: Vec<&str> = left_out.iter().map(String::as_str).collect();
    arguments.extend(["--strip-components=1", "-C", &into, "-xJf", &archive]);
    let done = machine.run(None, "tar", &arguments)?;
    if !done.success {
        bail!("cannot unpack {archive}: {}; it needs {MIB} MiB in {into}", last_line(&done.stderr));
    }
    let mark = dir.join(VERSION);
    fs::write(&mark, version).with_context(|| format!("cannot write {}", mark.display()))?;
    Ok(dir)
}
