//! Tests that the conformance program has registered for a stage: its `tests/conformance/src/registry.rs` says how.
use crate::programs;
use anyhow::{Result, bail};

/// What the conformance program is asked for, one run for each test of a stage. `long`: as much of each as in a long run.
pub fn runs(stage: &str, long: bool) -> Result<Vec<Vec<String>>> {
    let program = programs::build("conformance")?;
    let mut lines = Vec::new();
    let list: &[&str] = if long { &["list", "--stage", stage, "--long"] } else { &["list", "--stage", stage] };
    programs::run_file(&program, list, &mut |line| lines.push(line.to_owned()))?;
    if lines.is_empty() {
        bail!("no test is registered for {stage}");
    }
    Ok(lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect())
}

/// Whether a stage that sets up each of its tests by hand has set up all: each one's name stands in quotes in the stage's source.
pub fn all_are_in<'a>(source: &str, names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let is_missing = |name: &&str| !source.contains(&format!("\"{name}\""));
    let missing: Vec<&str> = names.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("registered, and run by nothing here: {}", missing.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::all_are_in;

    #[test]
    fn a_test_that_no_source_names_is_missed() {
        assert_eq!(all_are_in("[\"panic\"] [\"pan\"]", ["panic", "pan"]), Ok(()));
        let missed = all_are_in("guest(\"panic\")", ["panic", "pan"]).expect_err("one is missing");
        assert_eq!(missed, "registered, and run by nothing here: pan");
    }
}
