//! Where toolchains lie, which one is taken, and what each lacks.
use std::env::consts::ARCH;
use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::{Toolchain, program};

/// The oldest compiler that builds the ports, `1.95`: it has `--remap-path-scope`.
const OLDEST_MINOR: u32 = 95;
/// What to do where there is no toolchain at all.
const RUSTUP: &str = "install Rust with rustup, https://rustup.rs";
/// The variable that chooses one for every command.
const VARIABLE: &str = "KP_TOOLCHAIN";
/// What to do where no toolchain is whole.
const CHOICES: &str = "do one of: with rustup `rustup component add rust-src`; on Debian 12 `apt-get install rustc-web cargo-web \
                       rust-web-src`; with another distribution's Rust its package rust-src; or name a toolchain with --toolchain or \
                       KP_TOOLCHAIN";

/// The choice that the environment makes.
pub(crate) fn from_environment() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|choice| !choice.is_empty())
}

/// What a search looks at.
pub(super) struct Machine<'a> {
    /// The folder with `usr` in it; none where toolchains are rustup's alone.
    root: Option<PathBuf>,
    /// Rustup's folder of toolchains.
    rustup: Option<PathBuf>,
    /// What a program writes, if it succeeds.
    ask: &'a dyn Fn(&Path, &[&str]) -> Option<String>,
}

impl Machine<'_> {
    /// This one.
    pub(super) fn this() -> Machine<'static> {
        let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
        let rustup = rustup.or_else(|| Some(std::env::home_dir()?.join(".rustup")));
        Machine {
            root: cfg!(unix).then(|| "/".into()),
            rustup: rustup.map(|rustup| rustup.join("toolchains")),
            ask: &said_by,
        }
    }

    /// The toolchain of a choice, or the first whole one.
    pub(super) fn find(&self, choice: Option<&str>) -> Result<Toolchain> {
        if let Some(choice) = choice {
            return self.whole(&self.named(choice)?).map_err(|lack| anyhow!("{lack}"));
        }
        let places = self.places();
        let mut lacks = Vec::new();
        for (at, place) in places.iter().enumerate() {
            match self.whole(place) {
                Ok(found) => return Ok(Toolchain { usual: at == 0, ..found }),
                Err(lack) => lacks.push(lack),
            }
        }
        match (self.root.is_some(), lacks.as_slice()) {
            (false, [only]) => bail!("{only}"),
            (false, _) => bail!("no rustc in PATH: {RUSTUP}"),
            (true, lacks) => {
                let found: Vec<String> = lacks.iter().map(|lack| lack.what.clone()).collect();
                bail!("no whole Rust 1.{OLDEST_MINOR} or later: {}. So {CHOICES}", found.join("; "))
            }
        }
    }

    /// Where to look, in this order: `/usr`, which is the same for all users of a machine; the `rustc` in `PATH`; the newest of
    /// the versions that Ubuntu installs side by side.
    fn places(&self) -> Vec<PathBuf> {
        let mut places = Vec::new();
        places.extend(self.root.as_ref().map(|root| root.join("usr")));
        let said = (self.ask)(Path::new("rustc"), &["--print", "sysroot"]);
        places.extend(said.map(|said| PathBuf::from(said.trim())).filter(|sysroot| !places.contains(sysroot)));
        if let Some(root) = &self.root {
            let minor = |name: &str| name.strip_prefix("rust-1.")?.parse::<u32>().ok();
            let folder = root.join("usr/lib");
            let mut versions: Vec<u32> = names_in(&folder).iter().filter_map(|name| minor(name)).collect();
            versions.sort_unstable();
            let versions = versions.iter().rev().map(|minor| folder.join(format!("rust-1.{minor}")));
            places.extend(versions.filter(|sysroot| !places.contains(sysroot)).collect::<Vec<_>>());
        }
        places
    }

    /// The sysroot that a choice names: a folder if it looks like a path, else one of rustup's.
    fn named(&self, choice: &str) -> Result<PathBuf> {
        if choice.contains(['/', MAIN_SEPARATOR]) {
            let folder = std::path::absolute(choice).with_context(|| format!("{choice} is no path"))?;
            // Without a slash behind it, so that it has one name.
            let folder: PathBuf = folder.components().collect();
            if !folder.is_dir() {
                bail!(
                    "there is no folder {}: --toolchain and {VARIABLE} name one, or a toolchain of rustup's",
                    folder.display()
                );
            }
            return Ok(folder);
        }
        let folder =
            self.rustup.as_deref().with_context(|| format!("no home folder, where rustup would be: {RUSTUP}"))?;
        let names = names_in(folder);
        // `stable` is short for `stable-x86_64-unknown-linux-gnu`.
        let long = format!("{choice}-{ARCH}-");
        let matching: Vec<&String> = names.iter().filter(|name| *name == choice || name.starts_with(&long)).collect();
        match matching.iter().find(|name| **name == choice).or(matching.first()) {
            Some(name) if matching.len() == 1 || *name == choice => Ok(folder.join(name)),
            Some(_) => bail!("{choice} may be {}: name one of them", list(&matching)),
            None => bail!(
                "rustup has no toolchain {choice} in {}: there {}; a folder is named with a {MAIN_SEPARATOR}",
                folder.display(),
                match names.is_empty() {
                    true => "is none".to_owned(),
                    false => format!("are {}", list(&names)),
                }
            ),
        }
    }

    /// The toolchain of a sysroot if it is whole and new enough.
    fn whole(&self, sysroot: &Path) -> Result<Toolchain, Lack> {
        let lack = |what: String, remedy: String| Lack { what: format!("{} {what}", sysroot.display()), remedy };
        let said = (self.ask)(&program(sysroot, "rustc"), &["-vV"]).unwrap_or_default();
        let Some(version) = said.lines().next().and_then(|line| line.split(' ').nth(1)) else {
            return Err(lack("has no rustc that runs".into(), "name the folder that has bin/rustc".into()));
        };
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).unwrap_or(0);
        if minor < OLDEST_MINOR {
            let update = format!("it has to be 1.{OLDEST_MINOR} or later");
            let update = self.rustups_name(sysroot).map_or(update.clone(), |_| format!("{update}, `rustup update`"));
            return Err(lack(format!("is Rust {version}"), update));
        }
        if !program(sysroot, "cargo").exists() {
            return Err(lack(
                format!("has rustc {version} and no Cargo"),
                "install the Cargo of the same version".into(),
            ));
        }
        let library = self.library(sysroot, version)?;
        // A nightly's library does not say yet what will be stable in its release.
        let stated = if version.contains('-') { None } else { minor_of(&library) };
        if let Some(other) = stated.filter(|&other| other != minor) {
            let what = format!("has rustc {version}, and in {} the library of 1.{other}", library.display());
            return Err(lack(what, "both have to be of one version".into()));
        }
        let host = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        Ok(Toolchain { sysroot: sysroot.into(), library, version: version.into(), host, usual: false })
    }

    /// Where a compiler's source of its library is: in the sysroot, or where Debian and Ubuntu keep that of each version.
    fn library(&self, sysroot: &Path, version: &str) -> Result<PathBuf, Lack> {
        let outside = self.root.as_ref().map(|root| root.join("usr/src").join(format!("rustc-{version}/library")));
        let places: Vec<PathBuf> = [super::library_in(sysroot)].into_iter().chain(outside).collect();
        if let Some(found) = places.iter().find(|place| place.join("core").exists()) {
            return Ok(found.clone());
        }
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let what =
            format!("{} has rustc {version} without the source of its library ({})", sysroot.display(), list(&places));
        let remedy = match self.rustups_name(sysroot) {
            Some(name) => format!("rustup component add rust-src --toolchain {name}"),
            None => "install its package rust-src; it is rust-web-src for Debian 12's rustc-web, rust-1.NN-src for Ubuntu's rustc-1.NN"
                .into(),
        };
        Err(Lack { what, remedy })
    }

    /// What rustup calls a toolchain, if it is one of its own. On Windows every one is.
    fn rustups_name(&self, sysroot: &Path) -> Option<String> {
        let is_own =
            self.root.is_none() || sysroot.parent().is_some_and(|parent| Some(parent) == self.rustup.as_deref());
        sysroot.file_name().filter(|_| is_own).map(|name| name.to_string_lossy().into_owned())
    }
}

/// Why a toolchain is of no use, and what to do.
struct Lack {
    what: String,
    remedy: String,
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// The release that the source of a library is of: the newest that core says one of its functions is stable since. No name and no
/// file of it says so in every layout. Each release has made some stable; none known where nothing says so.
fn minor_of(library: &Path) -> Option<u32> {
    let mut newest = None;
    let mut folders = vec![library.join("core/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                newest = newest.max(text.split("stable(feature = \"").skip(1).filter_map(stable_since).max());
            }
        }
    }
    newest
}

/// The minor version in what follows on `stable(feature = "`: `name", since = "1.96.0")`.
fn stable_since(attribute: &str) -> Option<u32> {
    let since = attribute.split_once('"')?.1.strip_prefix(", since = \"1.")?;
    since.split('.').next()?.parse().ok()
}

/// The names of what is in a folder, in order.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// `a, b, c`.
fn list<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// What a program writes, if it succeeds.
fn said_by(program: &Path, arguments: &[&str]) -> Option<String> {
    // `cargo run` puts its own toolchain's libraries there.
    let output = Command::new(program)
        .args(arguments)
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(all(test, unix))]
mod tests;
