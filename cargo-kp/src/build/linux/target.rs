//! Which kernel's headers `--target` means.
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::kernels::{self, Kernel};

/// The kernel a module is built for when none is named and the running kernel has no headers. The demo boots it too.
const DEFAULT: &str = "6.1-cloud";

/// A kernel as far as a module's build needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What `uname -r` says in it.
    pub release: String,
    /// Its headers.
    pub headers: PathBuf,
}

impl From<&Kernel> for Target {
    fn from(kernel: &Kernel) -> Target {
        Target { release: kernel.release.clone(), headers: kernel.headers.clone() }
    }
}

/// A folder with headers, the release of a kernel that is installed or in the cache, or a name that [`kernels::get`] knows.
pub fn find(name: &str, setup: bool) -> Result<Target> {
    if name.contains('/') {
        return in_folder(Path::new(name));
    }
    let installed = installed(name);
    if installed.exists() {
        return in_folder(&installed);
    }
    let cache = kernels::cache_dir()?;
    let mut cached = kernels::names().into_iter().filter_map(|known| kernels::cached_in(&cache, &known));
    if let Some(kernel) = cached.find(|kernel| kernel.release == name) {
        return Ok(Target::from(&kernel));
    }
    if !kernels::names().iter().any(|known| known == name) {
        bail!(
            "no kernel is called {name}: choose one of {}, windows, windows-arm64, a release whose headers are installed, \
             or a folder with headers, which has a `/`",
            kernels::names().join(", ")
        );
    }
    Ok(Target::from(&kernels::get(name, setup)?))
}

/// The running kernel if its headers are here, else [`DEFAULT`]. Says which.
pub fn default(setup: bool) -> Result<Target> {
    let running = rustix::system::uname().release().to_string_lossy().into_owned();
    let installed = installed(&running);
    if installed.exists() {
        eprintln!("no --target given: building for the running kernel, {running}");
        return in_folder(&installed);
    }
    eprintln!("no --target given, and no headers here for the running kernel {running}: building for {DEFAULT}");
    find(DEFAULT, setup)
}

/// Where a distribution puts an installed kernel's headers.
fn installed(release: &str) -> PathBuf {
    Path::new("/lib/modules").join(release).join("build")
}

/// A prepared kernel tree or headers package says itself which release it is.
fn in_folder(dir: &Path) -> Result<Target> {
    let headers = std::path::absolute(dir)?;
    Ok(Target { release: kernels::release_in(&headers)?, headers })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_folder_without_headers_is_refused_with_the_file_that_it_lacks() {
        let why = find("/no/headers", false).expect_err("there is no such folder").to_string();
        assert!(
            why.starts_with("no kernel headers in /no/headers: no /no/headers/include/config/kernel.release ("),
            "{why}"
        );
        assert!(why.ends_with("name the folder that /lib/modules/RELEASE/build leads to, or a kernel's name"), "{why}");
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_all_that_a_build_takes() {
        assert_eq!(
            find("windws", false).expect_err("there is no such kernel").to_string(),
            "no kernel is called windws: choose one of 6.1, 6.1-cloud, 6.12, 6.12-cloud, 6.12-rt, windows, windows-arm64, \
             a release whose headers are installed, or a folder with headers, which has a `/`"
        );
    }
}
