//! The crates as they would be published: packed, and a plugin that is built and booted from what was packed, with this repository out of reach.
use super::{
    log::Log,
    stage::{Stage, Tally},
    step::succeeds,
};
use crate::{build::toolchain::Toolchain, kernels, programs, vm};
use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use std::{fs, path::Path, process::Command};

/// What is published, each behind those that it needs.
const CRATES: [&str; 8] = ["kp-abi", "kp-core", "kp-sim", "kp-user", "kp-linux", "kp-windows", "kp-tool", "cargo-kp"];

/// The stage, with `--long`: it compiles the framework for each system anew.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage::new("a plugin of packed crates", run);
    if long { vec![stage] } else { Vec::new() }
}

fn run(setup: bool, log: &Log) -> Result<Tally> {
    kernels::get(vm::command::DEFAULT, setup)?;
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let root = metadata.workspace_root.as_std_path();
    let folder = metadata.target_directory.join("kp/packed").into_std_path_buf();
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut tally = Tally::default();
    let version = env!("CARGO_PKG_VERSION");
    let mut package = Command::new("cargo");
    package.args(["package", "--no-verify", "--allow-dirty", "--target-dir"]).arg(&folder);
    package.args(CRATES.iter().flat_map(|name| ["-p", name]));
    let packed = step(&mut package, root, log)
        .and_then(|()| registry(root, &folder, version, log))
        .and_then(|()| plugin(root, &folder, version, log));
    tally.report("packed, built and booted", packed);
    fs::remove_dir_all(&folder)?;
    Ok(tally)
}

/// A folder with the packed crates, and all others that they need, from which Cargo takes crates in the place of a registry.
fn registry(root: &Path, folder: &Path, version: &str, log: &Log) -> Result<(), String> {
    let crates = folder.join("crates");
    // The standard library is compiled too, and has dependencies of its own.
    let toolchain = Toolchain::find(None).map_err(|error| format!("{error:#}"))?;
    let library = toolchain.library_source().join("Cargo.toml");
    let mut vendor = Command::new("cargo");
    vendor.args(["vendor", "--quiet", "--locked", "--versioned-dirs", "--sync"]).arg(library).arg(&crates);
    step(vendor.env("RUSTC_BOOTSTRAP", "1"), root, log)?;
    for name in CRATES {
        let file = folder.join(format!("package/{name}-{version}.crate"));
        step(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(&crates), folder, log)?;
        let sums = crates.join(format!("{name}-{version}/.cargo-checksum.json"));
        fs::write(&sums, r#"{"files":{}}"#).map_err(|error| format!("{}: {error}", sums.display()))?;
    }
    Ok(())
}

/// A workspace that asks for the crates by their version, built and booted.
fn plugin(root: &Path, folder: &Path, version: &str, log: &Log) -> Result<(), String> {
    let table = root.join("tests/cards/edu.csv");
    let kp = |words: &str, at: &Path| {
        let mut tool = Command::new(programs::this_tool());
        step(tool.arg("kp").args(words.split(' ')), at, log)
    };
    kp(
        &format!(
            "new card --pci 1234:11e8 --registers {} --irq-raise IRQ_RAISE --kp {version} --no-git",
            table.display()
        ),
        folder,
    )?;
    let card = folder.join("card");
    let config = format!(
        "[source.crates-io]\nreplace-with = \"packed\"\n\n[source.packed]\ndirectory = {:?}\n",
        folder.join("crates").display().to_string()
    );
    let written = fs::create_dir(card.join(".cargo")).and_then(|()| fs::write(card.join(".cargo/config.toml"), config));
    written.map_err(|error| format!("cannot write its configuration: {error}"))?;
    step(Command::new("cargo").args(["test", "--quiet"]), &card, log)?;
    kp("vm --device edu -- --raise 1", &card)?;
    kp("build --target windows", &card)
}

/// Runs a command there, with Cargo's own target folder.
fn step(command: &mut Command, folder: &Path, log: &Log) -> Result<(), String> {
    let name =
        format!("{} {}", command.get_program().display(), command.get_args().next().unwrap_or_default().display());
    succeeds(&name, command.env_remove("CARGO_TARGET_DIR").current_dir(folder), log).map(drop)
}
