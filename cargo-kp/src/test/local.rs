//! Stages that need no guest: cargo's tests, the lints, the modules of every kernel.
use super::stage::{Stage, Tally};
use crate::{host, kernels};
use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// All of them, in order.
pub fn stages() -> Vec<Stage> {
    vec![
        Stage { name: "cargo test", run: Box::new(|_| cargo_test(&[], &[])) },
        // What needs programs beside Rust's own, and so is ignored there.
        Stage { name: "cargo test, with compilers and QEMU", run: Box::new(|_| cargo_test(&[], &["--ignored"])) },
        Stage { name: "lints", run: Box::new(|_| lints()) },
        Stage { name: "modules for every kernel", run: Box::new(modules) },
        Stage { name: "scenario in the simulator", run: Box::new(scenarios) },
    ]
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.stdin(Stdio::null());
    cargo
}

/// The tests of the wire and of the simulator, and with them those of the host logic, under Miri.
pub fn miri() -> Result<()> {
    let has_miri = cargo().args(["miri", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success();
    if !has_miri {
        bail!("cargo miri is not here: `rustup +nightly component add miri`, and run this with `cargo +nightly`");
    }
    // Races are looked for with seeds; a few of each are what an interpreter has time for. Files and the clock are its host's.
    let tests = ["miri", "test", "-p", "kp-abi", "-p", "kp-core", "-p", "kp-sim", "--lib", "--tests"];
    let status =
        cargo().args(tests).env("MIRIFLAGS", "-Zmiri-disable-isolation").status().context("cannot start cargo")?;
    if !status.success() {
        bail!("Miri found what it says above");
    }
    Ok(())
}

/// Runs cargo's tests and adds up what each program says of itself. Failures are shown as cargo shows them.
fn cargo_test(arguments: &[&str], harness: &[&str]) -> Result<Tally> {
    let mut child = cargo()
        .args(["test", "--no-fail-fast", "--quiet"])
        .args(arguments)
        .arg("--")
        .args(harness)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().context("its output is a pipe")?).lines() {
        let line = line?;
        match summary(&line) {
            Some(one) => tally.add(one),
            None => lines.push(line),
        }
    }
    let success = child.wait()?.success();
    if tally.failed > 0 || !success {
        lines.iter().for_each(|line| println!("    {line}"));
    }
    if !success && tally.failed == 0 {
        bail!("cargo test failed without a failed test: see above");
    }
    Ok(tally)
}

/// Reads `test result: ok. 3 passed; 0 failed; …`.
pub(super) fn summary(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |name: &str| {
        let part = counts.split("; ").find(|part| part.ends_with(name))?;
        part.split(' ').next()?.parse().ok()
    };
    Some(Tally { passed: number(" passed")?, failed: number(" failed")? })
}

/// Formatting, clippy and rustdoc, each a test.
fn lints() -> Result<Tally> {
    let mut tally = Tally::default();
    let checks: [(&str, &[&str], &str); 3] = [
        ("rustfmt", &["fmt", "--all", "--check"], ""),
        ("clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"], ""),
        ("rustdoc", &["doc", "--quiet", "--workspace", "--no-deps"], "-D warnings"),
    ];
    for (name, arguments, rustdoc) in checks {
        let output = cargo().args(arguments).env("RUSTDOCFLAGS", rustdoc).output().context("cannot start cargo")?;
        if !output.status.success() {
            println!("FAILED     {name}");
            print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
        tally.count(output.status.success());
    }
    Ok(tally)
}

/// Every module of every kernel, from one tree.
fn modules(setup: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    for kernel in kernels::names() {
        match host::modules(&kernel, &["echo", "edu"], setup) {
            Ok(modules) => modules.files.iter().for_each(|_| tally.count(true)),
            Err(error) => {
                println!("FAILED     modules for {kernel}: {error:#}");
                tally.count(false);
            }
        }
    }
    Ok(tally)
}

/// The scenario on both kinds of simulator: the program compares the transcript itself.
fn scenarios(setup: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    for name in ["sim", "sim:qemu"] {
        let result = host::scenario(&name.parse()?, "all", setup, &mut |_| {});
        if let Err(error) = &result {
            println!("FAILED     {name}: {error:#}");
        }
        tally.count(result.is_ok());
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_and_nothing_else_is() {
        let line = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(summary(line), Some(Tally { passed: 3, failed: 1 }));
        assert_eq!(summary("running 3 tests"), None);
    }
}
