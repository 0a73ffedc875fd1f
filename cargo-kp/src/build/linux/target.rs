//! Which kernel's headers `--target` means.
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::place;
use crate::kernels::{self, Kernel};

/// The kernel a module is built for when none is named and the running kernel has no headers. The demo boots it too.
const DEFAULT: &str = "6.1-cloud";

/// The oldest kernel that the C glue compiles for.
const OLDEST: (u32, u32) = (5, 10);

/// What headers have to have, and what brings it.
const PARTS: [(&str, &str); 4] = [
    ("include/config/auto.conf", "`make modules_prepare` there makes it"),
    ("include/generated/autoconf.h", "`make modules_prepare` there makes it"),
    (
        "scripts/basic/fixdep",
        "`make modules_prepare` there makes it; headers of a package, whose links lead out of it, are copied by `cp -aL`",
    ),
    ("Module.symvers", "building the kernel there makes it, by `make`"),
];

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
    let mut cached = kernels::known_names().into_iter().filter_map(|known| kernels::cached_in(&cache, &known));
    if let Some(kernel) = cached.find(|kernel| kernel.release == name) {
        return Ok(Target::from(&kernel));
    }
    if !kernels::known_names().iter().any(|known| known == name) {
        bail!(
            "no kernel is called {name}: choose one of {}, a release whose headers are installed, or a folder with headers, which has a `/`",
            kernels::known_names().join(", ")
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
    let release = kernels::release_in(&headers)?;
    check_age(&release, &headers)?;
    for (file, remedy) in PARTS {
        if !headers.join(file).exists() {
            bail!("the headers in {} are not whole: no {file}; {remedy}", headers.display());
        }
    }
    // make goes by where links lead.
    let real = headers.canonicalize()?;
    if !place::is_plain(&real) {
        bail!(
            "the kernel's own Makefile takes no path with blanks, `:` and the like: copy {} (`cp -aL`) to a folder whose path has letters, digits \
             and `._+-` only",
            real.display()
        );
    }
    Ok(Target { release, headers })
}

/// Refuses kernels that are too old.
fn check_age(release: &str, headers: &Path) -> Result<()> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return Ok(()) };
    if (major, minor) < OLDEST {
        bail!(
            "kp needs a kernel from {}.{} on: the headers in {} are of {release}",
            OLDEST.0,
            OLDEST.1,
            headers.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{PARTS, find};

    /// Refused headers of this release, in a folder of this name, which lack one file.
    fn refused(folder: &str, release: &str, without: &str) -> (String, String) {
        let root = tempfile::TempDir::with_prefix("kp-").unwrap();
        let headers = root.path().join(folder);
        for (file, _) in PARTS.iter().filter(|(file, _)| *file != without) {
            fs::create_dir_all(headers.join(file).parent().unwrap()).unwrap();
            fs::write(headers.join(file), "").unwrap();
        }
        fs::create_dir_all(headers.join("include/generated")).unwrap();
        let text = format!("#define UTS_RELEASE \"{release}\"\n");
        fs::write(headers.join("include/generated/utsrelease.h"), text).unwrap();
        let path = headers.display().to_string();
        let why = find(&path, false).expect_err("it is refused").to_string();
        (why, path)
    }

    #[test]
    fn a_kernel_that_is_too_old_is_refused_in_one_line_by_what_its_headers_say() {
        for release in ["5.4.0-200-generic", "4.18.0-553.el8_10.x86_64", "5.9.16"] {
            let (why, path) = refused("old", release, "");
            assert_eq!(why, format!("kp needs a kernel from 5.10 on: the headers in {path} are of {release}"));
        }
    }

    #[test]
    fn headers_that_are_not_whole_are_refused_with_what_they_lack_before_anything_is_compiled() {
        for (file, remedy) in PARTS {
            let (why, path) = refused("part", "6.12.9", file);
            assert_eq!(why, format!("the headers in {path} are not whole: no {file}; {remedy}"));
        }
    }

    #[test]
    fn headers_in_a_path_that_make_cannot_take_are_refused_with_what_to_do() {
        let (why, path) = refused("my headers", "6.12.9", "");
        let start = "the kernel's own Makefile takes no path with blanks, `:` and the like: copy ";
        assert!(why.starts_with(&format!("{start}{path} (`cp -aL`) to a folder")) && !why.contains('\n'), "{why}");
    }

    #[test]
    fn a_folder_without_headers_is_refused_with_the_file_that_it_lacks() {
        let why = find("/no/headers", false).expect_err("there is no such folder").to_string();
        assert!(
            why.starts_with("no kernel headers in /no/headers: no /no/headers/include/generated/utsrelease.h ("),
            "{why}"
        );
        assert!(why.ends_with("name the folder that /lib/modules/RELEASE/build leads to, or a kernel's name"), "{why}");
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_the_kernels_that_there_are() {
        assert_eq!(
            find("windws", false).expect_err("there is no such kernel").to_string(),
            "no kernel is called windws: choose one of 6.1, 6.1-cloud, 6.12, 6.12-cloud, 6.12-rt, 5.10-cloud, 6.12-sanitised, 6.12-kcsan, a release whose headers are installed, \
             or a folder with headers, which has a `/`"
        );
    }
}
