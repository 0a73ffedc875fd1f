//! `cargo kp test --mutants`: what the tests do not notice, looked for by cargo-mutants.
//!
//! It changes each expression of a file that it knows how to change, one at a time, in a copy of the workspace. The quickest tests that see
//! the file are tried first, and all that see it with what those have missed. A run that was stopped goes on where it was.
mod results;

use super::mutations::mirror;
use crate::build::windows::fnv;
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use results::{File, LIST, Outcome, Results};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// After so many times as long as without a change, and not before so many seconds, tests are taken to hang.
const PATIENCE: [&str; 2] = ["5", "20"];
/// After so many seconds the compiler is taken to hang.
const BUILD_PATIENCE: &str = "300";
/// What cargo-mutants ends with after a whole run: all were caught, some were missed, some hang.
const WHOLE: [i32; 3] = [0, 2, 3];

/// Runs the mutants of these files; if none is named, of those in the list whose source has changed since.
///
/// # Errors
/// A survivor has no reason in the list.
pub fn run(files: &[PathBuf]) -> Result<()> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let workspace = metadata.workspace_root.as_std_path();
    let mut results = Results::read(workspace)?;
    let wanted = wanted(&mut results, workspace, files)?;
    let has_mutants = cargo().args(["mutants", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if !has_mutants.success() {
        bail!("cargo-mutants is not here: `cargo install --locked cargo-mutants`");
    }
    let folder = metadata.target_directory.join("kp/mutants").into_std_path_buf();
    let lab = Lab { source: folder.join("source"), target: folder.join("target"), runs: folder.join("runs") };
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let alone = fs::File::create(folder.join("lock")).context("cannot make a lock")?;
    if fs4::FileExt::try_lock(&alone).is_err() {
        bail!("another run changes the copy in {}: wait, or set CARGO_TARGET_DIR", folder.display());
    }
    // A file that a stopped run has left changed is as it should be again.
    mirror(workspace, &lab.source).context("cannot copy the workspace")?;
    for path in &wanted {
        let file = results.of(path).clone();
        let source = checksum(&workspace.join(path))?;
        let outcomes = lab.run(&file, &source)?;
        // It has taken hours: the list may have other reasons now, and what another run has found.
        results = Results::read(workspace)?;
        let file = results.of(path);
        file.take(&source, &outcomes);
        println!("{}", file.summary());
        results.write(workspace)?;
    }
    let open: Vec<String> = results.file.iter().filter(|file| wanted.contains(&file.path)).flat_map(told).collect();
    open.iter().for_each(|line| println!("{line}"));
    match open.len() {
        0 => Ok(()),
        many => bail!("no test notices {many} mutants: write one for each, or say why none has to in {LIST}"),
    }
}

/// The files to run. One that is named and not in the list is added.
fn wanted(results: &mut Results, workspace: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    for path in files {
        let path = path.to_str().context("a file whose name isn't UTF-8")?;
        if !path.ends_with(".rs") || !workspace.join(path).is_file() {
            bail!("{path} is no source file: name one as from the workspace's folder, kp-core/src/host/gate.rs");
        }
        results.of(path);
    }
    let mut wanted = Vec::new();
    for file in &results.file {
        let is_wanted = match files {
            [] => file.source != checksum(&workspace.join(&file.path))?,
            files => files.iter().any(|path| path.to_str() == Some(&file.path)),
        };
        wanted.extend(is_wanted.then(|| file.path.clone()));
    }
    if wanted.is_empty() {
        bail!("no file of {LIST} has changed since it was run: name one to run it again");
    }
    Ok(wanted)
}

/// A line for each survivor that wants a test.
fn told(file: &File) -> impl Iterator<Item = String> {
    file.open().map(move |mutant| format!("missed     {}: {mutant}", file.path))
}

/// What tells a source from another.
fn checksum(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}: mend {LIST}", path.display()))?;
    Ok(format!("{:016x}", fnv(&bytes, 0)))
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.stdin(Stdio::null());
    cargo
}

/// Where mutants are tried.
struct Lab {
    /// The copy of the workspace.
    source: PathBuf,
    /// Where it is built.
    target: PathBuf,
    /// What came out: a folder for each file, as it was.
    runs: PathBuf,
}

/// All mutants that have been tried, by name.
type Outcomes = BTreeMap<String, Outcome>;

impl Lab {
    /// Tries all mutants of a file that no earlier run of this source has: whatever was missed is tried again, for tests change.
    fn run(&self, file: &File, source: &str) -> Result<Outcomes> {
        let folder = self.runs.join(format!("{}-{source}", file.path.replace('/', "-")));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let kept = folder.join("outcomes.json");
        let mut all: Outcomes = match fs::read(&kept) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("remove {}", kept.display()))?,
            Err(_) => Outcomes::new(),
        };
        all.retain(|_, outcome| *outcome != Outcome::Missed);
        let package = file.path.split('/').next().context("a file is in a package")?;
        let quick: Vec<String> = file.quick.iter().map(|program| format!("--cargo-arg=--test={program}")).collect();
        let packages = if file.packages.is_empty() { vec![package.to_owned()] } else { file.packages.clone() };
        let whole = packages.iter().map(|package| format!("--test-package={package}")).collect();
        let quick = [vec![format!("--test-package={package}")], quick].concat();
        for (name, tests) in [("quick", quick), ("whole", whole)] {
            let is_wanted = if name == "quick" { !file.quick.is_empty() } else { file.is_tried_with_all() };
            if !is_wanted {
                continue;
            }
            let out = folder.join(name);
            // What a run that was stopped has found.
            all.extend(read(&out.join("mutants.out/outcomes.json"))?);
            self.mutants(file, package, &tests, &all, &out, name == "quick" && file.is_tried_with_all())?;
            all.extend(read(&out.join("mutants.out/outcomes.json"))?);
            fs::write(&kept, serde_json::to_vec(&all)?).with_context(|| format!("cannot write {}", kept.display()))?;
            fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
        Ok(all)
    }

    /// One run of cargo-mutants, over those of a file's mutants that nothing has noticed yet. `is_first`: more tests come after, and what was
    /// missed already is left to them.
    fn mutants(
        &self,
        file: &File,
        package: &str,
        tests: &[String],
        done: &Outcomes,
        out: &Path,
        is_first: bool,
    ) -> Result<()> {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let mut mutants = cargo();
        mutants.args(["mutants", "--in-place", "--no-shuffle", "--no-times", "--colors=never", "--cap-lints=true"]);
        mutants.args([
            "--annotations=none",
            "--timeout-multiplier",
            PATIENCE[0],
            "--minimum-test-timeout",
            PATIENCE[1],
        ]);
        // A constant may be computed without end.
        mutants.args(["--build-timeout", BUILD_PATIENCE, "--file", &file.path, "--package", package]);
        mutants.args(tests).arg("--dir").arg(&self.source).arg("--output").arg(out);
        for (name, _) in done.iter().filter(|(_, outcome)| is_first || **outcome != Outcome::Missed) {
            mutants.arg("--exclude-re").arg(format!("^{}$", escaped(name)));
        }
        // Nobody debugs these, and they link faster.
        mutants
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_NET_OFFLINE", "true");
        let status = mutants.status().context("cannot start cargo")?;
        match status.code() {
            Some(code) if WHOLE.contains(&code) => Ok(()),
            _ => bail!("cargo-mutants stopped, {status}, and says why above: what it found is kept"),
        }
    }
}

/// What cargo-mutants has written down; nothing, if it found none to try.
fn read(path: &Path) -> Result<Outcomes> {
    let Ok(bytes) = fs::read(path) else { return Ok(Outcomes::new()) };
    let written: Value = serde_json::from_slice(&bytes).with_context(|| format!("remove {}", path.display()))?;
    let outcomes = written["outcomes"].as_array().context("cargo-mutants has another form: this knows that of 27")?;
    let found = outcomes.iter().filter_map(|one| {
        let name = one["scenario"]["Mutant"]["name"].as_str()?;
        let outcome = match one["summary"].as_str()? {
            "CaughtMutant" => Outcome::Caught,
            "MissedMutant" => Outcome::Missed,
            "Timeout" => Outcome::Timeout,
            "Unviable" => Outcome::Unviable,
            _ => return None,
        };
        Some((name.to_owned(), outcome))
    });
    Ok(found.collect())
}

/// A name as a regular expression that fits nothing else.
fn escaped(name: &str) -> String {
    // Nothing else: `\<` is the start of a word.
    let is_special = |one: char| r"\.+*?()|[]{}^$".contains(one);
    name.chars().flat_map(|one| is_special(one).then_some('\\').into_iter().chain([one])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_letter_by_letter() {
        let name = "a.rs:1:2: replace f -> Result<(), E> with Ok(()) && x[0]";
        assert_eq!(escaped(name), r"a\.rs:1:2: replace f -> Result<\(\), E> with Ok\(\(\)\) && x\[0\]");
    }

    #[test]
    fn what_cargo_mutants_writes_is_read_with_the_baseline_left_out() {
        let folder = tempfile::TempDir::with_prefix("kp-").expect("a folder");
        let file = folder.path().join("outcomes.json");
        let text = r#"{"outcomes": [{"scenario": "Baseline", "summary": "Success"},
            {"scenario": {"Mutant": {"name": "a.rs:1:2: x"}}, "summary": "CaughtMutant"},
            {"scenario": {"Mutant": {"name": "a.rs:1:3: y"}}, "summary": "Timeout"}]}"#;
        fs::write(&file, text).expect("a file");
        let found = read(&file).expect("read");
        fs::remove_file(&file).expect("it goes");
        let expected = [("a.rs:1:2: x".to_owned(), Outcome::Caught), ("a.rs:1:3: y".to_owned(), Outcome::Timeout)];
        assert_eq!(found, Outcomes::from(expected));
        assert_eq!(read(&file).expect("none is nothing"), Outcomes::new());
    }

    #[test]
    fn a_file_that_is_none_is_refused_in_one_line() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let why = wanted(&mut Results::default(), workspace, &["README.md".into()]).expect_err("refused").to_string();
        assert_eq!(
            why,
            "README.md is no source file: name one as from the workspace's folder, kp-core/src/host/gate.rs"
        );
    }
}
