//! Kernels that look for mistakes in kernel code, built here: `cargo kp kernel build`.
//!
//! `kernels.toml` lists them. `configuration` has what each is made of, `source` unpacks the kernel's source, `make` builds. What is
//! whole has a stamp: nothing is built twice from the same source and configuration, and a build that was stopped goes on.
mod configuration;
mod make;
mod source;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::command::Command;
use crate::kernels::{self, Built, Kernel, Lock};
use crate::packages::{Packages, Purpose, ThisMachine};
use configuration::Configuration;

/// Kernels that are built here, and not downloaded.
#[derive(Debug, Args)]
pub struct KernelArgs {
    #[command(subcommand)]
    command: KernelCommand,
}

#[derive(Debug, Subcommand)]
enum KernelCommand {
    Build(KernelBuildArgs),
}

/// Builds a kernel that looks for mistakes, from Debian's sources, and prints the folder that it is in. `cargo kp build --target` and
/// `cargo kp vm --kernel` take that, or its name.
#[derive(Debug, Args)]
pub struct KernelBuildArgs {
    /// 6.12-sanitised: it looks for wrong uses of memory, of locks and of objects, for leaks, and can let allocations fail.
    #[arg(long, required_unless_present = "kcsan")]
    pub sanitised: bool,
    /// 6.12-kcsan: it looks for data races.
    #[arg(long)]
    pub kcsan: bool,
    /// Install missing packages first; needs root or sudo.
    #[arg(long)]
    pub setup: bool,
}

impl Command for KernelArgs {
    fn run(self) -> Result<()> {
        let KernelCommand::Build(args) = self.command;
        let chosen = [("--sanitised", args.sanitised), ("--kcsan", args.kcsan)];
        for (option, _) in chosen.iter().filter(|(_, is_chosen)| *is_chosen) {
            println!("{}", build(option, args.setup)?.headers.display());
        }
        Ok(())
    }
}

/// The name of the file in a kernel's folder that says what it was built from.
const STAMP: &str = ".kp-built-from";

/// The kernel that this option of `cargo kp kernel build` makes. One that was built from today's source and configuration is taken as it is.
///
/// # Errors
/// Packages or space are missing; the kernel does not take the configuration, or does not build.
pub fn build(option: &str, setup: bool) -> Result<Kernel> {
    let built = kernels::built().into_iter().find(|kernel| kernel.option == option);
    let built = built.with_context(|| format!("no kernel of kernels.toml is built by {option}"))?;
    let configuration = Configuration::of(&built.name)?;
    let cache = kernels::cache_dir()?;
    let dir = cache.join("kernels").join(&built.name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let _alone = Lock::take(&cache.join(format!("kernels/{}.lock", built.name)))?;

    let packages = Packages::new(&ThisMachine);
    let there = source::installed(packages.machine(), &built.source);
    if let Some(kernel) = current(&cache, &dir, &built, &configuration, there.as_deref()) {
        return Ok(kernel);
    }
    packages.require(&[Purpose::Build, Purpose::Kernel], setup)?;
    let version = source::installed(packages.machine(), &built.source)
        .with_context(|| format!("package {} has no version: install it anew", built.source))?;
    kernels::forget(&cache, &built.name);
    require_space(&built, &cache, &dir, &version)?;
    let source = source::unpack(packages.machine(), &cache, &built.source, &version)?;
    configuration.apply(&source, &dir).with_context(|| format!("{} cannot be configured", built.name))?;
    make::run(&built.name, &source, &dir)?;

    let kernel = Kernel { name: built.name.clone(), series: built.series.clone(), ..kernels::built_in(&dir)? };
    let stamp = dir.join(STAMP);
    fs::write(&stamp, stamp_of(&version, &configuration))
        .with_context(|| format!("cannot write {}", stamp.display()))?;
    kernels::keep(&cache, &kernel)?;
    Ok(kernel)
}

/// The kernel in the cache, if it is whole, and built from this source and configuration. The package of the source need not be there any more.
fn current(
    cache: &Path,
    dir: &Path,
    built: &Built,
    configuration: &Configuration,
    version: Option<&str>,
) -> Option<Kernel> {
    let kernel = kernels::cached_in(cache, &built.name)?;
    let stamp = fs::read_to_string(dir.join(STAMP)).ok()?;
    let (its_version, _) = stamp.split_once('\n')?;
    (stamp == stamp_of(version.unwrap_or(its_version), configuration)).then_some(kernel)
}

fn stamp_of(version: &str, configuration: &Configuration) -> String {
    format!("{version}\n{}", configuration.text)
}

/// What a kernel's own files take, in MiB.
const BUILD_MIB: u64 = 512;

/// Refuses to begin what cannot end.
fn require_space(built: &Built, cache: &Path, dir: &Path, version: &str) -> Result<()> {
    let of_source = if source::is_unpacked(cache, &built.source, version) { 0 } else { source::MIB };
    let of_build = if dir.join("vmlinux.o").exists() { 0 } else { BUILD_MIB };
    let free = rustix::fs::statvfs(cache).with_context(|| format!("cannot look at {}", cache.display()))?;
    enough(&built.name, cache, of_source + of_build, (free.f_bavail * free.f_frsize) >> 20)
}

/// Whether so many MiB are enough.
fn enough(name: &str, cache: &Path, needed: u64, free: u64) -> Result<()> {
    if free < needed {
        let (there, remedy) = (cache.display(), "free some, or set XDG_CACHE_HOME to a place that has them");
        bail!("{name} needs {needed} MiB in {there}, and {free} MiB are free: {remedy}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_refused_with_how_much_it_needs() {
        let cache = Path::new("/c/kp");
        assert!(enough("6.12-kcsan", cache, 7, 7).is_ok());
        assert_eq!(
            enough("6.12-kcsan", cache, 7, 6).unwrap_err().to_string(),
            "6.12-kcsan needs 7 MiB in /c/kp, and 6 MiB are free: free some, or set XDG_CACHE_HOME to a place that has them"
        );
    }

    #[test]
    fn a_kernel_is_built_anew_when_its_source_or_its_options_have_changed_and_not_before() {
        let built = kernels::built().remove(0);
        let cache = tempfile::TempDir::with_prefix("kp-").unwrap();
        let cache = cache.path();
        let dir = cache.join("kernels").join(&built.name);
        fs::create_dir_all(&dir).unwrap();
        let file = |name: &str| {
            fs::write(dir.join(name), "").unwrap();
            dir.join(name)
        };
        let (vmlinuz, _) = (file("bzImage"), file("Makefile"));
        let kernel = Kernel {
            name: built.name.clone(),
            release: "6.12.9-kp".into(),
            series: "6.12".into(),
            vmlinuz,
            headers: dir.clone(),
        };
        let options = |text: &str| Configuration { text: text.into() };
        let is_current = |version, options: &Configuration| current(cache, &dir, &built, options, version).is_some();
        fs::write(dir.join(STAMP), stamp_of("6.12.9-1", &options("CONFIG_A=y\n"))).unwrap();
        let unfinished = is_current(Some("6.12.9-1"), &options("CONFIG_A=y\n"));
        kernels::keep(cache, &kernel).unwrap();
        let found = [
            is_current(Some("6.12.9-1"), &options("CONFIG_A=y\n")),
            is_current(None, &options("CONFIG_A=y\n")),
            is_current(Some("6.12.10-1"), &options("CONFIG_A=y\n")),
            is_current(Some("6.12.9-1"), &options("CONFIG_A=y\nCONFIG_B=y\n")),
        ];
        kernels::forget(cache, &built.name);
        let forgotten = is_current(Some("6.12.9-1"), &options("CONFIG_A=y\n"));
        assert_eq!((unfinished, found, forgotten), (false, [true, true, false, false], false));
    }
}
