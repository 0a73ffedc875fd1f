//! The demos, started as a person starts them. What they print is the story that the person reads.
use super::{
    log::Log,
    stage::{Stage, Tally, with_lines},
    wine::{ECHO_STORY, EDU_STORY},
};
use crate::programs;
use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use kp_tool::pattern::fits;
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// The stage.
pub fn stages() -> Vec<Stage> {
    vec![Stage::new("demos", |_, log| run(log)).beside_another()]
}

/// What an example's app tells where all that it asks for is to be had.
fn story(example: &str) -> Result<String> {
    let file = format!("examples/{example}/app/tests/story.txt");
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    fs::read_to_string(metadata.workspace_root.join(&file)).with_context(|| format!("cannot read {file}"))
}

fn run(log: &Log) -> Result<Tally> {
    let (edu, bmd) = (story("edu")?, story("bmd")?);
    let linux = format!(
        "building   the edu and bmd plugins as modules for Debian's kernel *
booting    6.*-amd64 in QEMU, with an edu device
loaded     kp-edu.ko: the app opens /dev/kp/edu.0
{edu}{bmd}unloaded   kp_edu left 0 allocations, 0 locks, 0 mappings behind
unloaded   kp_bmd left 0 allocations, 0 locks, 0 mappings, 0 dma, 0 pinned behind
powered off, after * s in the guest and * s in all
"
    );
    let windows = format!(
        r"building   the echo plugin as kp-echo.sys, and its app as echo-app.exe
WINE       loads kp-echo.sys as a service: Wine's kernel, not Windows', and without any hardware
loaded     kp-echo.sys: the app opens \\.\kp-echo
{ECHO_STORY}unloaded   kp-echo left 0 allocations, 0 locks, 0 mappings behind
building   the edu plugin as kp-edu.sys
LOADER     runs kp-edu.sys in a Linux process and plays Windows' kernel for it; the device is QEMU's own model
{EDU_STORY}unloaded   the loader counted: nothing is left behind
that took * s
"
    );
    let why = "SIMULATED  no kernel can be booted here: ";
    let simulated =
        format!("SIMULATED  the same plugins and apps, on the simulator with its model of the device:\n{edu}{bmd}");
    let no_kernel = format!("{why}the package lists lack linux-image-cloud-amd64: *\n{simulated}");
    let no_guest = format!(
        "building   the edu and bmd plugins as modules for Debian's kernel *
booting    6.*-amd64 in QEMU, with an edu device
{why}the guest stopped early (QEMU: exit status: 1); the log's last line: no such machine
{simulated}"
    );
    let mut tally = Tally::default();
    demo(&mut tally, log, "cargo kp demo", &[], &[], &linux);
    demo(&mut tally, log, "cargo kp demo --windows", &["--windows"], &[], &windows);

    let folder = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let folder = folder.target_directory.join("kp/no-guest").into_std_path_buf();
    let without_lists = [("PATH", instead(&folder, "apt-cache")?), ("XDG_CACHE_HOME", folder.join("cache").into())];
    demo(&mut tally, log, "cargo kp demo where no kernel is to be had", &[], &without_lists, &no_kernel);
    let without_machine = [("PATH", instead(&folder, "qemu-system-x86_64")?)];
    demo(&mut tally, log, "cargo kp demo where no guest can be booted", &[], &without_machine, &no_guest);
    Ok(tally)
}

/// Runs this very program. It has to succeed and to print lines that fit the story's, each its own.
fn demo(
    tally: &mut Tally,
    log: &Log,
    name: &str,
    arguments: &[&str],
    environment: &[(&str, std::ffi::OsString)],
    story: &str,
) {
    let start = Instant::now();
    let ran = Command::new(programs::this_tool())
        .args(["kp", "demo"])
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output();
    let came_out = ran.map_err(|error| format!("cannot start it: {error}")).and_then(|ran| {
        let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
        let (said, errors) = (lines(&ran.stdout), lines(&ran.stderr));
        log.keep(name, said.iter().chain(&errors));
        match ran.status.success() {
            true => tells(&said, story),
            false => Err(with_lines(format!("it fails: {}", ran.status), said.iter().chain(&errors))),
        }
    });
    tally.report(&format!("{name}: {:.1} s", start.elapsed().as_secs_f64()), came_out);
}

/// Whether each line fits the story's.
fn tells(said: &[String], story: &str) -> Result<(), String> {
    let story: Vec<&str> = story.lines().collect();
    let line = |at: usize| said.get(at).map_or("nothing", String::as_str);
    match (0..story.len().max(said.len())).find(|&at| !story.get(at).is_some_and(|due| fits(due, line(at)))) {
        None => Ok(()),
        Some(at) => {
            let due = story.get(at).unwrap_or(&"nothing");
            Err(with_lines(format!("it says `{}` where `{due}` is due:", line(at)), said))
        }
    }
}

/// A search path on which a program is found that only fails.
fn instead(folder: &Path, program: &str) -> Result<std::ffi::OsString> {
    let folder = folder.join(program);
    let file = folder.join(program);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, "#!/bin/sh\necho no such machine >&2\nexit 1\n"))
        .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = [folder].into_iter().chain(env::split_paths(&path)).collect();
    env::join_paths(folders).context("the search path has an odd folder")
}

#[cfg(test)]
mod tests {
    use super::tells;

    #[test]
    fn a_story_with_a_line_changed_missing_or_more_is_another_one() {
        let said = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let story = "loaded\nMSI 10\ntook * s\n";
        assert_eq!(tells(&said("loaded\nMSI 10\ntook 1.5 s"), story), Ok(()));
        for (other, at) in [
            ("loaded\nMSI 9\ntook 1.5 s", "`MSI 9` where `MSI 10`"),
            ("loaded\nMSI 10", "`nothing` where `took * s`"),
            ("loaded\nMSI 10\ntook 1.5 s\nmore", "`more` where `nothing`"),
        ] {
            let why = tells(&said(other), story).expect_err("another story");
            assert!(why.starts_with(&format!("it says {at} is due:")), "{why}");
        }
    }
}
