//! Sizes, and the times that an author waits.
use super::{Place, Row, baselines, guest::Built};
use crate::{guest::plan::Step, host::MODULES, programs};
use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, SectionFlags, elf};
use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::{Instant, SystemTime},
};

/// The rows of the sizes.
pub fn sizes(built: &Built) -> Result<Vec<Row>> {
    let ours = |name: &str| -> Result<u64> {
        let wanted = format!("kp-{name}.ko");
        let file = built.modules.files.iter().find(|file| file.ends_with(&wanted));
        text(file.with_context(|| format!("{wanted} is not built"))?)
    };
    let row = |measure: &str, name: &str, baseline: &str| -> Result<Row> {
        let (ours, baseline) = (ours(name)? as f64, text(&built.baseline(baseline))? as f64);
        Ok(Row::new(measure, built.kernel(), ours, Some(baseline), "bytes", "executable sections of the two .ko files"))
    };
    Ok(vec![row("text-echo", "echo", "plain-echo")?.at_most(4.0), row("text-bench", "bench", "plain")?])
}

/// Bytes of a module's executable sections.
fn text(module: &Path) -> Result<u64> {
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("{} is no module", module.display()))?;
    let executable =
        |flags| matches!(flags, SectionFlags::Elf { sh_flags } if sh_flags & u64::from(elf::SHF_EXECINSTR) != 0);
    Ok(file.sections().filter(|section| executable(section.flags())).map(|section| section.size()).sum())
}

/// The rows of the times, by the clock: they depend on the machine and on what else it does.
pub fn times(place: &Place, built: &Built) -> Result<Vec<Row>> {
    let folder = place.output.join("clean");
    let _ = fs::remove_dir_all(&folder); // the first time it is not there
    let kernel = &built.modules.kernel;
    let row = |measure: &str, ours, baseline, how: &str| Row::new(measure, built.kernel(), ours, baseline, "s", how);
    let clean = seconds(|| build(place, &folder, &kernel.name))?;
    touch(&place.workspace.join("benches/plugin/src/lib.rs"))?;
    let again = seconds(|| build(place, &folder, &kernel.name))?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;

    let own = Place { output: folder.clone(), ..place.clone() };
    let baseline_clean = seconds(|| baselines::build(&own, kernel).map(|_| ()))?;
    let made = std::path::absolute(folder.join(&kernel.release).join("baselines"))?;
    touch(&made.join("plain.c"))?;
    let baseline_again = seconds(|| baselines::make(kernel, &made))?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;

    let step = Step::load_until(&format!("{MODULES}/kp-bench.ko"), "", "/dev/kp/bench");
    let guest = built.modules.guest(Path::new("/bin/true")).step(step).step(Step::unload("kp_bench"));
    let boot = guest.run(&mut |_| {})?.into_result()?.seconds;
    Ok(vec![
        row("build-clean", clean, Some(baseline_clean), "cargo kp build against make of four C modules; wall clock"),
        row("build-again", again, Some(baseline_again), "the same after a change of one file; wall clock"),
        row("boot-to-result", boot, None, "QEMU's start to its end, one module loaded and unloaded; wall clock"),
    ])
}

/// Runs `cargo kp build` of the bench plugin with a target folder of its own.
fn build(place: &Place, folder: &Path, kernel: &str) -> Result<()> {
    let status = Command::new(programs::this_tool())
        .args(["build", "--plugin", "bench", "--target", kernel])
        .current_dir(&place.workspace)
        .env("CARGO_TARGET_DIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot start cargo kp")?;
    if status.success() { Ok(()) } else { bail!("cargo kp build --plugin bench --target {kernel} fails: run it") }
}

fn seconds(f: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    f()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Makes a file look changed.
fn touch(path: &Path) -> Result<()> {
    let file = File::options().append(true).open(path);
    let touched = file.and_then(|file| file.set_modified(SystemTime::now()));
    touched.with_context(|| format!("cannot touch {}", path.display()))
}
