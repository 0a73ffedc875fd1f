//! The stock kernels: their names, and where their images and headers lie.
//!
//! `kernels.toml` lists them. Each is downloaded once as Debian packages and unpacked, not installed, into the cache; that needs
//! no privileges and changes nothing on the machine. Kernels of one's own are booted from their [`Image`], and may have a [`ModuleTree`].

mod image;
mod tree;

pub use self::image::Image;
pub use self::tree::{Dependency, ModuleTree};

use crate::packages::{Machine, Packages, ThisMachine, last_line};
use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A kernel that is there: unpacked, ready to boot and to build modules for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Its name in `kernels.toml`, as in `6.12-rt`.
    pub name: String,
    /// What `uname -r` says in it.
    pub release: String,
    /// Its upstream series, as in `6.12`.
    pub series: String,
    /// The image to boot.
    pub vmlinuz: PathBuf,
    /// The headers, as `make -C` wants them.
    pub headers: PathBuf,
}

impl Kernel {
    /// How many times as long something may take in it as in a stock kernel: one that looks for mistakes is slow.
    pub fn patience(&self) -> u32 {
        if built().iter().any(|kernel| kernel.name == self.name) { 5 } else { 1 }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    name: String,
    series: String,
    image: String,
    headers: String,
    /// The suite that it comes from, if that is not one of Debian 12's.
    suite: Option<String>,
}

/// A kernel that is not downloaded but built here.
#[derive(Debug, Clone, Deserialize)]
pub struct Built {
    /// Its name, as in `6.12-sanitised`.
    pub name: String,
    /// Its upstream series, as in `6.12`.
    pub series: String,
    /// The Debian package that has its source.
    pub source: String,
    /// The option of `cargo kp kernel build` that makes it.
    pub option: String,
}

#[derive(Deserialize)]
struct List {
    kernel: Vec<Entry>,
    built: Vec<Built>,
}

fn read_list() -> List {
    toml::from_str(include_str!("../kernels.toml")).expect("kernels.toml is part of this program")
}

fn list() -> Vec<Entry> {
    read_list().kernel
}

/// The kernels that are built here.
pub fn built() -> Vec<Built> {
    read_list().built
}

/// The names of the kernels that plugins are tested in, in the order of `kernels.toml`.
pub fn names() -> Vec<String> {
    list().into_iter().filter(|entry| entry.suite.is_none()).map(|entry| entry.name).collect()
}

/// Those, and behind them the kernels of other Debians that modules are built for.
pub fn all_names() -> Vec<String> {
    list().into_iter().map(|entry| entry.name).collect()
}

/// Those, and behind them the kernels that are built here.
pub fn known_names() -> Vec<String> {
    all_names().into_iter().chain(built().into_iter().map(|kernel| kernel.name)).collect()
}

/// The directory where packages and unpacked kernels are kept: `$XDG_CACHE_HOME/kp`, else `~/.cache/kp`.
///
/// Fails if neither variable is set.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("kp"))
        .ok_or_else(|| anyhow!("neither XDG_CACHE_HOME nor HOME is set: set one, kernels are kept there"))
}

/// The kernel of that name. What the cache holds is used as it is, without the network; else it is downloaded and unpacked.
///
/// With `setup` the package lists are brought up to date first, which needs root or sudo. Fails if the name is unknown, if the
/// package lists lack the kernel, or if it cannot be downloaded. One that is built here has to be there.
pub fn get(name: &str, setup: bool) -> Result<Kernel> {
    get_with(&Packages::new(&ThisMachine), &cache_dir()?, name, setup)
}

/// The kernel of that name if it is in the cache directory `cache`. Never uses the network.
pub fn cached_in(cache: &Path, name: &str) -> Option<Kernel> {
    // The record is written last, so a kernel with a record is whole, unless somebody removed parts of it.
    let text = fs::read_to_string(record(cache, name)).ok()?;
    let kernel: Kernel = toml::from_str(&text).ok()?;
    (kernel.vmlinuz.is_file() && kernel.headers.join("Makefile").is_file()).then_some(kernel)
}

/// The release whose headers, or whose whole tree, are in `folder`: it says so itself.
///
/// Fails if there are none.
pub fn release_in(folder: &Path) -> Result<String> {
    // Not include/config/kernel.release: in headers of some distributions that has another.
    let path = folder.join("include/generated/utsrelease.h");
    let text = fs::read_to_string(&path).map_err(|error| {
        let remedy = "name the folder that /lib/modules/RELEASE/build leads to, or a kernel's name";
        anyhow!("no kernel headers in {}: no {} ({error}); {remedy}", folder.display(), path.display())
    })?;
    let release = text.lines().find_map(|line| line.strip_prefix("#define UTS_RELEASE \"")?.strip_suffix('"'));
    Ok(release.with_context(|| format!("{} has no UTS_RELEASE", path.display()))?.to_owned())
}

/// The kernel that was built in `folder`.
///
/// Fails if none was.
pub fn built_in(folder: &Path) -> Result<Kernel> {
    if folder.is_file() {
        bail!("{} is a file, and --kernel takes a folder: --image takes a kernel's image", folder.display());
    }
    let headers = std::path::absolute(folder)?;
    let release = release_in(&headers)?;
    let vmlinuz = headers.join("arch/x86/boot/bzImage");
    if !vmlinuz.is_file() {
        bail!(
            "no kernel to boot in {}: no {}; name the folder that it was built in, or its image with --image",
            folder.display(),
            vmlinuz.display()
        );
    }
    let booted = Image::read(&vmlinuz)?.release;
    if booted != release {
        let folder = folder.display();
        bail!(
            "the image in {folder} is {booted}, and its headers are of {release}: run `make` there, so that both are of one kernel"
        );
    }
    let series = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    Ok(Kernel { name: release.clone(), release, series, vmlinuz, headers })
}

/// [`get`], with the package tools and the cache directory given.
pub fn get_with(packages: &Packages, cache: &Path, name: &str, setup: bool) -> Result<Kernel> {
    if let Some(built) = built().into_iter().find(|kernel| kernel.name == name) {
        let Built { option, .. } = built;
        return cached_in(cache, name)
            .with_context(|| format!("{name} is not here yet: `cargo kp kernel build {option}` builds it"));
    }
    let entry = list()
        .into_iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| anyhow!("no kernel is called {name}: choose one of {}", known_names().join(", ")))?;
    fs::create_dir_all(cache.join("debs")).with_context(|| format!("cannot create {}", cache.display()))?;
    let _lock = Lock::take(&cache.join("lock"))?;
    if let Some(kernel) = cached_in(cache, name) {
        return Ok(kernel);
    }
    let of_suite = match &entry.suite {
        None => None,
        Some(suite) if !setup => bail!("{name} is not here, and comes from another suite, {suite}: add --setup"),
        Some(suite) => {
            let line = SECURITY_LINE.replace(SECURITY_SUITE, suite);
            Some(Packages::of_source(packages.machine(), &cache.join("suites").join(suite), &line)?)
        }
    };
    let packages = of_suite.as_ref().unwrap_or(packages);
    if setup {
        packages.update()?;
    }
    let wanted = resolve(packages, &entry)?;
    eprintln!("getting kernel {} ({})", entry.name, wanted.release);
    let files = packages.download(&cache.join("debs"), &wanted.packages)?;
    let kernel = unpack(packages.machine(), cache, &entry, &wanted, &files)?;
    keep(cache, &kernel)?;
    Ok(kernel)
}

/// Writes down that a kernel is whole: from now on [`get`] finds it.
pub(crate) fn keep(cache: &Path, kernel: &Kernel) -> Result<()> {
    let text = toml::to_string(kernel).context("cannot write down the kernel")?;
    fs::write(record(cache, &kernel.name), text).with_context(|| format!("cannot write to {}", cache.display()))
}

/// Takes back what [`keep`] has written down, if it has.
pub(crate) fn forget(cache: &Path, name: &str) {
    // What is not there needs not go.
    let _ = fs::remove_file(record(cache, name));
}

/// One process at a time works on the cache. The lock goes with the file, also if the process dies.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for it, and says so.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("waiting for another cargo kp to finish with {}", path.display());
            flock(&file, FlockOperation::LockExclusive).with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(Lock { _file: file })
    }
}

fn record(cache: &Path, name: &str) -> PathBuf {
    cache.join("kernels").join(format!("{name}.toml"))
}

/// What a kernel consists of today.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    release: String,
    /// The image first, then what `make` needs.
    packages: Vec<String>,
}

fn resolve(packages: &Packages, entry: &Entry) -> Result<Wanted> {
    let first = |meta: &str, prefix: &str| -> Result<String> {
        let depends = packages.depends(meta)?;
        depends.into_iter().find(|name| name.starts_with(prefix)).ok_or_else(|| unknown(packages, meta))
    };
    let image = first(&entry.image, "linux-image-")?;
    let headers = first(&entry.headers, "linux-headers-")?;
    let release = image.trim_start_matches("linux-image-").to_owned();
    if headers != format!("linux-headers-{release}") {
        bail!("the package lists pair {image} with {headers}: run `{}apt-get update`", packages.sudo_hint());
    }
    let mut all = vec![image, headers.clone()];
    let parts = ["linux-headers-", "linux-kbuild-"];
    let needed = packages.depends(&headers)?;
    all.extend(needed.into_iter().filter(|name| parts.iter().any(|part| name.starts_with(part))));
    Ok(Wanted { release, packages: all })
}

fn unknown(packages: &Packages, meta: &str) -> anyhow::Error {
    let sudo = packages.sudo_hint();
    match has_security_suite(packages.machine()) {
        true => anyhow!("the package lists lack {meta}: run `{sudo}apt-get update`, or add --setup"),
        false => anyhow!(
            "the package lists lack {meta}: add `{SECURITY_LINE}` to /etc/apt/sources.list, then run `{sudo}apt-get update`"
        ),
    }
}

/// The line that brings Debian 12's security suite, where the 6.12 kernels and rustc-web come from.
pub const SECURITY_LINE: &str = "deb http://deb.debian.org/debian-security bookworm-security main";

/// The suite in it.
const SECURITY_SUITE: &str = "bookworm-security";

/// Whether apt's package lists include Debian 12's security suite.
pub fn has_security_suite(machine: &dyn Machine) -> bool {
    machine.run(None, "apt-cache", &["policy"]).is_ok_and(|done| done.stdout.contains(SECURITY_SUITE))
}

fn unpack(machine: &dyn Machine, cache: &Path, entry: &Entry, wanted: &Wanted, debs: &[String]) -> Result<Kernel> {
    let release = &wanted.release;
    let dir = cache.join("kernels").join(release);
    if dir.exists() {
        // Left by a process that died before it wrote the record.
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let into = dir.to_string_lossy();
    for (index, deb) in debs.iter().enumerate() {
        let deb = cache.join("debs").join(deb);
        let deb = deb.to_string_lossy();
        // Of an image's hundreds of megabytes one file is wanted. `sh` joins the two programs; names come as arguments.
        let done = match index {
            0 => {
                let script = r#"dpkg --fsys-tarfile "$1" | tar -x -C "$2" "./boot/vmlinuz-$3""#;
                machine.run(None, "sh", &["-c", script, "sh", &deb, &into, release])?
            }
            _ => machine.run(None, "dpkg", &["-x", &deb, &into])?,
        };
        if !done.success {
            bail!("cannot unpack {deb}: {}; remove it and try again", last_line(&done.stderr));
        }
    }
    let headers = dir.join("usr/src").join(format!("linux-headers-{release}"));
    mend_makefile(&headers.join("Makefile"), &dir)?;
    let vmlinuz = dir.join("boot").join(format!("vmlinuz-{release}"));
    if !vmlinuz.is_file() {
        bail!("{} has no {}: remove it and try again", debs[0], vmlinuz.display());
    }
    Ok(Kernel { name: entry.name.clone(), release: release.clone(), series: entry.series.clone(), vmlinuz, headers })
}

/// The headers' Makefile includes the common one by its absolute place, where it would be if it were installed.
fn mend_makefile(makefile: &Path, root: &Path) -> Result<()> {
    let text = fs::read_to_string(makefile).with_context(|| format!("cannot read {}", makefile.display()))?;
    let fixed = text.replace("include /usr/src/", &format!("include {}/usr/src/", root.display()));
    fs::write(makefile, fixed).with_context(|| format!("cannot write {}", makefile.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::fake::Fake;
    use tempfile::TempDir;

    fn entry(name: &str) -> Entry {
        list().into_iter().find(|entry| entry.name == name).unwrap()
    }

    #[test]
    fn the_list_has_five_kernels_to_test_in_and_an_old_one() {
        assert_eq!(names(), ["6.1", "6.1-cloud", "6.12", "6.12-cloud", "6.12-rt"]);
        assert_eq!(all_names().strip_prefix(names().as_slice()), Some(&["5.10-cloud".to_owned()][..]));
    }

    #[test]
    fn a_kernel_of_another_debian_comes_by_lists_of_its_own() {
        let fake = Fake::default();
        let cache = TempDir::with_prefix("kp-").unwrap();
        let cache = cache.path();
        let get = |setup| get_with(&Packages::new(&fake), cache, "5.10-cloud", setup).unwrap_err().to_string();
        let why = get(false);
        assert_eq!(why, "5.10-cloud is not here, and comes from another suite, bullseye-security: add --setup");
        assert!(fake.asked.borrow().is_empty());
        get(true);
        let asked = fake.asked.borrow();
        let sources = cache.join("suites/bullseye-security/sources.list");
        let line = fs::read_to_string(&sources).unwrap();
        assert!(line.ends_with("/debian-security bullseye-security main\n"), "{line}");
        let option = format!("-o Dir::Etc::SourceList={}", sources.display());
        assert!(asked[0].starts_with("apt-get ") && asked[0].ends_with(" update"), "without root: {asked:?}");
        assert!(asked.iter().all(|command| command.contains(&option)), "{asked:?}");
    }

    #[test]
    fn a_meta_package_resolves_to_todays_release_and_what_make_needs() {
        let fake = Fake::default()
            .answer(
                "apt-cache depends --no-recommends --no-suggests linux-image-6.12-rt-amd64",
                "linux-image-6.12-rt-amd64\n  Depends: linux-image-6.12.9+deb12-rt-amd64\n",
            )
            .answer(
                "apt-cache depends --no-recommends --no-suggests linux-headers-6.12-rt-amd64",
                "linux-headers-6.12-rt-amd64\n  Depends: linux-headers-6.12.9+deb12-rt-amd64\n",
            )
            .answer(
                "apt-cache depends --no-recommends --no-suggests linux-headers-6.12.9+deb12-rt-amd64",
                "linux-headers-6.12.9+deb12-rt-amd64\n  Depends: linux-base\n  Depends: linux-headers-6.12.9+deb12-common-rt\n \
                 |Depends: linux-image-6.12.9+deb12-rt-amd64\n  Depends: linux-image-6.12.9+deb12-rt-amd64-unsigned\n  \
                 Depends: linux-kbuild-6.12.9+deb12\n  Depends: gcc-12\n",
            );
        let wanted = resolve(&Packages::new(&fake), &entry("6.12-rt")).unwrap();
        assert_eq!(wanted.release, "6.12.9+deb12-rt-amd64");
        assert_eq!(
            wanted.packages,
            [
                "linux-image-6.12.9+deb12-rt-amd64",
                "linux-headers-6.12.9+deb12-rt-amd64",
                "linux-headers-6.12.9+deb12-common-rt",
                "linux-kbuild-6.12.9+deb12",
            ]
        );
    }

    #[test]
    fn a_missing_security_suite_is_named_with_the_line_to_add() {
        let fake = Fake::default();
        let error = resolve(&Packages::new(&fake), &entry("6.12")).unwrap_err().to_string();
        assert!(error.contains(SECURITY_LINE), "{error}");
        let fake = Fake::default().answer("apt-cache policy", "release n=bookworm-security");
        let error = resolve(&Packages::new(&fake), &entry("6.12")).unwrap_err().to_string();
        assert!(error.ends_with("run `sudo apt-get update`, or add --setup"), "{error}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let fake = Fake::default();
        let error = get_with(&Packages::new(&fake), Path::new("/nonexistent"), "5.10", false).unwrap_err().to_string();
        assert_eq!(
            error,
            "no kernel is called 5.10: choose one of 6.1, 6.1-cloud, 6.12, 6.12-cloud, 6.12-rt, 5.10-cloud, \
             6.12-sanitised, 6.12-kcsan"
        );
    }

    #[test]
    fn a_kernel_that_is_built_here_is_not_downloaded_but_the_command_is_named() {
        let fake = Fake::default();
        for (name, option) in [("6.12-sanitised", "--sanitised"), ("6.12-kcsan", "--kcsan")] {
            let why = get_with(&Packages::new(&fake), Path::new("/nonexistent"), name, true).unwrap_err().to_string();
            assert_eq!(why, format!("{name} is not here yet: `cargo kp kernel build {option}` builds it"));
        }
        assert!(fake.asked.borrow().is_empty());
    }

    #[test]
    fn a_folder_with_an_older_image_than_its_headers_is_refused_before_anything_boots() {
        let folder = TempDir::with_prefix("kp-").unwrap();
        let folder = folder.path();
        for part in ["arch/x86/boot", "include/generated"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let built_for = |release: &str| {
            fs::write(folder.join("arch/x86/boot/bzImage"), image::made_up("6.12.9-card")).unwrap();
            let text = format!("#define UTS_RELEASE \"{release}\"\n");
            fs::write(folder.join("include/generated/utsrelease.h"), text).unwrap();
            built_in(folder)
        };
        assert_eq!(built_for("6.12.9-card").unwrap().series, "6.12");
        let why = built_for("6.12.9-card+").expect_err("another kernel").to_string();
        let end =
            "is 6.12.9-card, and its headers are of 6.12.9-card+: run `make` there, so that both are of one kernel";
        assert!(why.ends_with(end), "{why}");
    }

    #[test]
    fn a_cached_kernel_asks_nobody() {
        let cache = TempDir::with_prefix("kp-").unwrap();
        let cache = cache.path();
        let dir = cache.join("kernels/x");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("Makefile"), "").unwrap();
        fs::write(dir.join("vmlinuz"), "").unwrap();
        let kernel = Kernel {
            name: "6.1".into(),
            release: "6.1.0-1-amd64".into(),
            series: "6.1".into(),
            vmlinuz: dir.join("vmlinuz"),
            headers: dir.clone(),
        };
        fs::write(record(cache, "6.1"), toml::to_string(&kernel).unwrap()).unwrap();
        let fake = Fake::default();
        assert_eq!(get_with(&Packages::new(&fake), cache, "6.1", true).unwrap(), kernel);
        assert!(fake.asked.borrow().is_empty());
    }
}
