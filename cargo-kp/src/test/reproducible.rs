//! The stage that builds the same source in two folders of different names: modules and drivers are the same, byte for byte.
use super::{
    log::Log,
    mutations::mirror,
    stage::{Stage, Tally},
};
use crate::{host, programs};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The folders. Neither name is as long as the other, and no part of one is where the other has it.
const FOLDERS: [&str; 2] = ["a", "some where/else entirely"];
/// The plugins: with a device, and with C code of its own.
const PLUGINS: [&str; 2] = ["edu", "selftest"];
/// What each is built for.
const TARGETS: [&str; 4] = ["6.1-cloud", "6.12-cloud", "windows", "windows-arm64"];

/// The stage, with `--long`: it compiles the framework for each system twice.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("the same bytes from any folder", run);
    if long { vec![stage] } else { Vec::new() }
}

fn run(setup: bool, log: &Log) -> Result<Tally> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let root = metadata.workspace_root.as_std_path();
    let folder = metadata.target_directory.join("kp/reproducible").into_std_path_buf();
    // Not at the same time by each build.
    for kernel in TARGETS.iter().filter(|target| !target.starts_with("windows")) {
        host::kernel_to_boot(kernel, setup)?;
    }
    let build_all = |name: &str| {
        let workspace = folder.join(name);
        mirror(root, &workspace).with_context(|| format!("cannot copy the workspace to {}", workspace.display()))?;
        let built = PLUGINS.map(|plugin| build(&workspace, plugin, log));
        anyhow::Ok(built.into_iter().collect::<Result<Vec<_>>>()?.concat())
    };
    let [one, other] = [build_all(FOLDERS[0])?, build_all(FOLDERS[1])?];
    let names = PLUGINS.iter().flat_map(|plugin| TARGETS.map(|target| format!("{plugin} for {target}")));
    let mut tally = Tally::default();
    for ((name, one), other) in names.zip(&one).zip(&other) {
        tally.report(&name, compared(one, other));
    }
    Ok(tally)
}

/// Builds a plugin of a workspace for all targets, in its own target folder. The files, in the order of the targets.
fn build(workspace: &Path, plugin: &str, log: &Log) -> Result<Vec<PathBuf>> {
    let mut tool = Command::new(programs::this_tool());
    tool.args(["build", "--plugin", plugin]).args(TARGETS.iter().flat_map(|target| ["--target", target]));
    tool.current_dir(workspace).env("CARGO_TARGET_DIR", workspace.join("target")).stdin(Stdio::null());
    let output = tool.output().context("cannot start this tool")?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    log.keep(plugin, &said(&output.stderr));
    let files = said(&output.stdout);
    if !output.status.success() || files.len() != TARGETS.len() {
        bail!("{plugin} does not build in {}: {}", workspace.display(), said(&output.stderr).join("\n    "));
    }
    Ok(files.into_iter().map(PathBuf::from).collect())
}

/// Whether two files are the same. `Err` says where they first differ.
fn compared(one: &Path, other: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (a, b) = (read(one)?, read(other)?);
    if a == b {
        return Ok(());
    }
    let at = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.display(), other.display());
    Err(format!("they differ from byte {at} on, of {} and {}: cmp -l '{one}' '{other}'", a.len(), b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_differ_in_a_byte_or_in_length_are_told_apart() {
        let folder = tempfile::TempDir::with_prefix("kp-").expect("a folder");
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        let why = |one: &str, other: &str| {
            fs::write(&a, one).expect("a file");
            fs::write(&b, other).expect("a file");
            compared(&a, &b).map_err(|why| why.split(':').next().unwrap_or_default().to_owned())
        };
        assert_eq!(why("text", "text"), Ok(()));
        assert_eq!(why("text", "test"), Err("they differ from byte 2 on, of 4 and 4".into()));
        assert_eq!(why("text", "text and more"), Err("they differ from byte 4 on, of 4 and 13".into()));
    }
}
