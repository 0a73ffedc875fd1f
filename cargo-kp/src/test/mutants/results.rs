//! What came of a file's mutants, kept in the repository.
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, path::Path};

/// The list, in the workspace.
pub(super) const LIST: &str = "tests/tools/mutants.toml";
/// What `why` says of a survivor that nobody has looked at yet.
pub(super) const OPEN: &str = "open";
/// Stands above the list.
const HEADER: &str = "\
# What cargo-mutants has found: `cargo kp test --mutants` runs it, and writes this file.
#
# quick: test programs of the file's package that are tried first; what they miss is tried with all tests of `packages`, if there are any.
# source: the file that was run, by a checksum. If it has changed since, `cargo kp test --mutants` runs it anew.
# viable: mutants that compile. Of these a test fails with `caught`, tests hang with `timeouts`, and nothing happens with `missed`.
# survivor: a mutant of `missed`, and why no test has to notice it. One that is \"open\" wants a test or a reason: reasons are kept.

";

/// All files.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Results {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) file: Vec<File>,
}

/// One source file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) path: String,
    #[serde(default)]
    pub(super) quick: Vec<String>,
    #[serde(default)]
    pub(super) packages: Vec<String>,
    #[serde(default)]
    pub(super) source: String,
    #[serde(default)]
    viable: usize,
    #[serde(default)]
    caught: usize,
    #[serde(default)]
    timeouts: usize,
    #[serde(default)]
    missed: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    survivor: Vec<Survivor>,
}

/// A mutant that no test notices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    /// What was changed, as cargo-mutants says it, without the place.
    mutant: String,
    why: String,
}

/// How a mutant came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Caught,
    Timeout,
    Missed,
    Unviable,
}

impl Results {
    /// Reads the list of a workspace.
    pub(super) fn read(workspace: &Path) -> Result<Self> {
        let text = fs::read_to_string(workspace.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
        toml::from_str(&text).with_context(|| format!("cannot understand {LIST}"))
    }

    /// A file's, which is added if it is not there.
    pub(super) fn of(&mut self, path: &str) -> &mut File {
        let at = self.file.iter().position(|file| file.path == path).unwrap_or_else(|| {
            self.file.push(File { path: path.to_owned(), ..File::default() });
            self.file.len() - 1
        });
        &mut self.file[at]
    }

    /// Writes it.
    pub(super) fn write(&self, workspace: &Path) -> Result<()> {
        let text = format!("{HEADER}{}", toml::to_string(self)?);
        fs::write(workspace.join(LIST), text).with_context(|| format!("cannot write {LIST}"))
    }
}

impl File {
    /// Takes what a whole run has found. The reasons of those that survive again are kept.
    pub(super) fn take(&mut self, source: &str, outcomes: &BTreeMap<String, Outcome>) {
        let count = |wanted| outcomes.values().filter(|outcome| **outcome == wanted).count();
        self.source = source.to_owned();
        (self.caught, self.timeouts, self.missed) =
            (count(Outcome::Caught), count(Outcome::Timeout), count(Outcome::Missed));
        self.viable = self.caught + self.timeouts + self.missed;
        let mut known = std::mem::take(&mut self.survivor);
        let missed = outcomes.iter().filter(|(_, outcome)| **outcome == Outcome::Missed);
        for (name, _) in missed {
            let mutant = without_place(name).to_owned();
            let why = match known.iter().position(|survivor| survivor.mutant == mutant) {
                Some(at) => known.remove(at).why,
                None => OPEN.to_owned(),
            };
            self.survivor.push(Survivor { mutant, why });
        }
    }

    /// Whether all tests of some packages run, and not the quick ones alone.
    pub(super) fn is_tried_with_all(&self) -> bool {
        self.quick.is_empty() || !self.packages.is_empty()
    }

    /// One line for a person.
    pub(super) fn summary(&self) -> String {
        let Self { path, viable, caught, timeouts, missed, .. } = self;
        format!("{path}: {viable} viable, {caught} caught, {timeouts} hang, {missed} missed")
    }

    /// The survivors without a reason.
    pub(super) fn open(&self) -> impl Iterator<Item = &str> {
        self.survivor.iter().filter(|survivor| survivor.why == OPEN).map(|survivor| survivor.mutant.as_str())
    }

    /// Whether the numbers are those of a whole run, and each survivor is told.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests hold the list to it"))]
    fn check(&self) -> Result<()> {
        let Self { path, viable, caught, timeouts, missed, survivor, .. } = self;
        if *viable == 0 || caught + timeouts + missed != *viable || survivor.len() != *missed {
            bail!("{path}: {viable} viable, {caught} + {timeouts} + {missed}, {} survivors", survivor.len());
        }
        Ok(())
    }
}

/// A mutant's name without file, line and column in front of it.
fn without_place(name: &str) -> &str {
    name.split_once(": ").map_or(name, |(_, change)| change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_replaces_the_numbers_and_keeps_the_reasons_of_who_survives_again() {
        let outcomes = |list: &[(&str, Outcome)]| list.iter().map(|(name, how)| (name.to_string(), *how)).collect();
        let mut results = Results::default();
        let file = results.of("a.rs");
        let first = [
            ("a.rs:3:1: replace + with - in f", Outcome::Missed),
            ("a.rs:4:1: replace + with - in f", Outcome::Missed),
            ("a.rs:5:1: replace g with ()", Outcome::Missed),
            ("a.rs:6:1: replace h with 1", Outcome::Unviable),
        ];
        file.take("1", &outcomes(&first));
        assert_eq!(file.open().count(), 3);
        file.survivor[0].why = "nobody adds".into();
        let second = [
            ("a.rs:13:1: replace + with - in f", Outcome::Missed),
            ("a.rs:15:1: replace g with ()", Outcome::Caught),
            ("a.rs:16:1: replace h with 1", Outcome::Timeout),
        ];
        file.take("2", &outcomes(&second));
        assert_eq!(file.summary(), "a.rs: 3 viable, 1 caught, 1 hang, 1 missed");
        assert_eq!(file.survivor, [Survivor { mutant: "replace + with - in f".into(), why: "nobody adds".into() }]);
    }

    #[test]
    fn the_list_has_whole_runs_in_which_at_most_one_in_twenty_survives_each_with_a_reason() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let results = Results::read(workspace).expect("the list");
        let run: Vec<&File> = results.file.iter().filter(|file| !file.source.is_empty()).collect();
        for file in &run {
            assert!(workspace.join(&file.path).is_file(), "{} is gone", file.path);
            file.check().expect("a whole run");
            assert_eq!(file.open().collect::<Vec<_>>(), [""; 0], "{}", file.path);
        }
        let sum = |of: fn(&File) -> usize| run.iter().map(|file| of(file)).sum::<usize>();
        assert!(20 * sum(|file| file.missed) <= sum(|file| file.viable), "over 5 % survive");
    }
}
