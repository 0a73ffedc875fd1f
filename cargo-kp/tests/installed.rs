//! What `cargo install` has to compile: it is done in about a minute, and stays so.
use std::collections::BTreeSet;
use std::process::Command;

/// How many packages that may be, this one included. What counts is what each costs: before raising it, look at
/// `cargo build --release --timings -p cargo-kp`.
const MOST: usize = 76;

#[test]
fn the_installed_tool_has_no_more_dependencies_than_were_measured() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]);
    let output = tree.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeSet<&str> = said.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(packages.iter().any(|package| package.starts_with("cargo-kp ")), "{packages:?}");
    assert!(packages.len() <= MOST, "{} packages: {packages:#?}", packages.len());
}
