//! A workspace of somebody's own, outside of this repository, in a folder whose name programs stumble over.
use super::{
    log::Log,
    stage::{Stage, Tally},
    step::succeeds,
};
use crate::programs;
use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use std::{fs, path::Path, process::Command};

/// The folder. Cargo itself takes no `:`, and its linker no `%`.
const NAME: &str = "my card (2) #1 $x 'ü'";
/// The plugin, which is one crate.
const PLUGIN: &str = "ticker";
/// The kernel that it is built for.
const KERNEL: &str = "6.12-cloud";

/// The stage, with `--long`: it compiles the framework for each system anew.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("a workspace in any folder", |_, log| run(log));
    if long { vec![stage] } else { Vec::new() }
}

fn run(log: &Log) -> Result<Tally> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let folder = metadata.target_directory.join("kp/workspace").into_std_path_buf().join(NAME);
    write(metadata.workspace_root.as_std_path(), &folder)?;
    let mut tally = Tally::default();
    let mut step = |name: &str, command: &mut Command| -> Result<Vec<String>> {
        // Its own target folder, wherever this one's is.
        command.current_dir(&folder).env("CARGO_TARGET_DIR", folder.join("target"));
        let printed = succeeds(name, command, log);
        tally.report(name, printed.as_ref().map(|_| ()).map_err(Clone::clone));
        Ok(printed.unwrap_or_default())
    };
    step("cargo test", Command::new("cargo").args(["test", "--offline"]))?;
    let build = ["kp", "build", "--target", KERNEL, "--target", "windows"];
    let built = step("cargo kp build", Command::new(programs::this_tool()).args(build))?;
    for end in ["ko", "sys"] {
        let file = built.iter().find(|file| file.ends_with(&format!("kp-{PLUGIN}.{end}")));
        tally.report(
            &format!("kp-{PLUGIN}.{end}"),
            file.map_or(Err("it is not printed".into()), |file| anonymous(file)),
        );
    }
    fs::remove_dir_all(&folder)?;
    Ok(tally)
}

/// Whether a file is there, and does not name the folder that it was built in.
fn anonymous(file: &str) -> Result<(), String> {
    let content = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    match content.windows(NAME.len()).any(|part| part == NAME.as_bytes()) {
        true => Err("it names the author's folder".into()),
        false => Ok(()),
    }
}

/// Lays the plugin into the folder, as a workspace of its own.
fn write(repository: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder.join("src"))?;
    let example = repository.join("examples").join(PLUGIN);
    fs::copy(example.join("src/lib.rs"), folder.join("src/lib.rs"))?;
    fs::create_dir(folder.join("tests"))?;
    fs::copy(example.join("tests/card.rs"), folder.join("tests/card.rs"))?;
    fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let crates = |names: [&str; 2]| {
        let line = |name| format!("{name} = {{ path = {:?} }}\n", repository.join(name));
        names.map(line).concat()
    };
    let manifest = format!(
        "[package]\nname = \"{PLUGIN}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n\n[workspace]\n\n\
         [dependencies]\n{}\n[dev-dependencies]\n{}",
        crates(["kp-abi", "kp-core"]),
        crates(["kp-sim", "kp-user"])
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    Ok(())
}
