//! The workspace's own programs, built by cargo when they are wanted.
use crate::{
    build::toolchain::{self, Toolchain},
    packages::{Packages, Purpose, ThisMachine},
};
use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, MetadataCommand};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The running tool. By this name it is there even if cargo has put a newer one in its place meanwhile.
pub fn this_tool() -> PathBuf {
    PathBuf::from(format!("/proc/{}/exe", std::process::id()))
}

/// Refuses a command that is about this repository's own plugins where they are not.
pub fn require_repository(command: &str) -> Result<()> {
    if !is_repository(Path::new(".")) {
        bail!("`cargo kp {command}` works on kp's own plugins: run it in a clone of kp");
    }
    Ok(())
}

/// Whether the Cargo workspace around a folder is this repository.
fn is_repository(dir: &Path) -> bool {
    let metadata = MetadataCommand::new().no_deps().current_dir(dir).exec();
    metadata.is_ok_and(|found| found.packages.iter().any(|package| package.name.as_str() == "kp-core"))
}

/// Builds the program of this name, of this repository, and says where it is.
///
/// No package is chosen, in whichever folder this runs: what the program is made of has the same features then as with `cargo test` of all, and is not
/// compiled anew.
pub fn build(program: &str) -> Result<PathBuf> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let manifest = metadata.workspace_root.join("Cargo.toml");
    build_with(program, &["--manifest-path", manifest.as_str(), "--bin", program])
}

/// Builds a program that is chosen by cargo's `arguments`, and says where it is.
pub fn build_with(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    run_cargo(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())), "build", name, arguments)
}

/// What makes a 32-bit program that needs no 32-bit library: [`Purpose::App32`] has what it is linked with.
const FLAGS_32: &str = "-Ctarget-feature=+crt-static\x1f-Clinker=gcc-12\x1f-Clink-arg=-m32";

/// Builds a package's program of the same name for 32-bit x86, with Debian's compiler and the standard library from source, and says
/// where it is. Statically linked. Takes a minute the first time.
pub fn build_32bit(package: &str, setup: bool) -> Result<PathBuf> {
    Packages::new(&ThisMachine).require(&[Purpose::App32], setup)?;
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let mut cargo = Toolchain::find(toolchain::from_environment().as_deref())?.cargo();
    // Without debug information, which would only take time.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS_32).env("CARGO_PROFILE_DEV_DEBUG", "false");
    let folder = metadata.target_directory.join("kp/app32");
    let target = ["-Zbuild-std=std,panic_abort", "--target=i686-unknown-linux-gnu", "--target-dir", folder.as_str()];
    let arguments: Vec<&str> = ["--quiet", "--package", package, "--bin", package].into_iter().chain(target).collect();
    run_cargo(cargo, "build", package, &arguments)
}

/// Runs this Cargo's `build`, or its `test` without running one, and says where the program is. `name` is what an error calls it.
pub(crate) fn run_cargo(mut cargo: Command, command: &str, name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let mut cargo = cargo
        .args([command, "--message-format=json-render-diagnostics"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo: is it in the search path?")?;
    let output = BufReader::new(cargo.stdout.take().context("cargo's output is a pipe")?);
    let mut program = None;
    for message in Message::parse_stream(output) {
        if let Message::CompilerArtifact(artifact) = message.context("cannot read what cargo says")? {
            program = artifact.executable.map(PathBuf::from).or(program);
        }
    }
    if !cargo.wait()?.success() {
        bail!("{name} does not build: see above");
    }
    program.with_context(|| format!("{name} has no such program"))
}

/// Builds a program and runs it here. Its output goes to `on_line`, its errors to ours.
pub fn run(program: &str, arguments: &[&str], on_line: &mut dyn FnMut(&str)) -> Result<()> {
    run_file(&build(program)?, arguments, on_line)
}

/// Runs a program here. Its output goes to `on_line`, its errors to ours.
pub fn run_file(program: &Path, arguments: &[&str], on_line: &mut dyn FnMut(&str)) -> Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    for line in BufReader::new(child.stdout.take().context("its output is a pipe")?).lines() {
        on_line(&line?);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} {} failed: {status}", program.display(), arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{build, is_repository};
    use std::path::Path;

    #[test]
    fn a_program_is_built_from_the_folder_of_another_package_too() {
        assert!(build("edu-app").expect("it is built").ends_with("debug/edu-app"));
    }

    #[test]
    fn only_a_workspace_with_the_framework_in_it_is_this_repository() {
        assert!(is_repository(Path::new(env!("CARGO_MANIFEST_DIR"))));
        assert!(!is_repository(Path::new("/")), "there is no Cargo.toml");
    }
}
