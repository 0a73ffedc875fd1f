//! Faults planted in the host logic, one at a time, in a copy of the workspace: the conformance tests must catch each, for its own
//! reason. The product itself has no code for this.
use super::stage::{Stage, Tally, first_panic};
use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, MetadataCommand};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

/// The list, in the workspace.
const LIST: &str = "tests/faults/faults.toml";
/// After this a run is taken to hang. The tests end in seconds, and give up waiting for an interrupt after 30.
const PATIENCE: Duration = Duration::from_secs(60);
/// What `sees` says of a run that has to hang.
const HANG: &str = "hang";

/// The stage, with `--long`.
pub fn stages(long: bool) -> Vec<Stage> {
    let stage = Stage { name: "planted faults", run: Box::new(|_, _| planted()) };
    if long { vec![stage] } else { Vec::new() }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    fault: Vec<Fault>,
}

/// A change that breaks a promise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    name: String,
    promise: String,
    file: PathBuf,
    /// What is there, exactly once.
    find: String,
    /// What is put there instead.
    replace: String,
    run: Run,
    /// A part of what the test says that catches it, or `hang`.
    sees: String,
}

/// Which tests look for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Run {
    Scenario,
    Hostile,
    Corners,
    Removal,
}

const RUNS: [Run; 4] = [Run::Scenario, Run::Hostile, Run::Corners, Run::Removal];

impl Run {
    /// The test program of `conformance`, and which of its tests.
    fn tests(self) -> (&'static str, &'static str) {
        match self {
            Run::Scenario => ("simulator", "the_transcript_is_the_one_that_every_host_gives"),
            Run::Hostile => ("simulator", "every_bad_request_has_its_status_and_changes_nothing"),
            Run::Corners => ("corners", ""),
            Run::Removal => ("removal", ""),
        }
    }
}

/// How a run of tests came out.
enum Outcome {
    Passed,
    /// What the first panic said, in one line.
    Failed(String),
    Hung,
}

fn planted() -> Result<Tally> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
    let workspace = metadata.workspace_root.as_std_path();
    let faults = list(workspace)?;
    let folder = metadata.target_directory.join("kp/faults").into_std_path_buf();
    let copy = Copy { source: folder.join("source"), target: folder.join("target") };
    mirror(workspace, &copy.source).context("cannot copy the workspace")?;
    for run in RUNS {
        match copy.outcome(run).context("without a fault")? {
            Outcome::Passed => {}
            Outcome::Failed(why) => bail!("{run:?} fails without a fault: {why}"),
            Outcome::Hung => bail!("{run:?} hangs without a fault"),
        }
    }
    let mut tally = Tally::default();
    tally.pass(1);
    for fault in &faults {
        match copy.try_out(fault, workspace) {
            Ok(how) => {
                println!("caught     {}: {how}", fault.name);
                tally.pass(1);
            }
            Err(why) => tally.report(&format!("{} ({})", fault.name, fault.promise), Err(format!("{why:#}"))),
        }
    }
    Ok(tally)
}

/// Reads the list. Every fault has its place.
fn list(workspace: &Path) -> Result<Vec<Fault>> {
    let text = fs::read_to_string(workspace.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("cannot understand {LIST}"))?;
    let names: BTreeSet<&str> = list.fault.iter().map(|fault| fault.name.as_str()).collect();
    if names.len() != list.fault.len() {
        bail!("two faults of {LIST} have the same name");
    }
    for fault in &list.fault {
        fault.plant(workspace)?;
    }
    Ok(list.fault)
}

impl Fault {
    /// The file with the fault in it.
    fn plant(&self, workspace: &Path) -> Result<String> {
        let path = workspace.join(&self.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (file, times) = (self.file.display(), text.matches(&self.find).count());
        if times != 1 {
            bail!("{}: what it changes is {times} times in {file}, not once: mend the fault in {LIST}", self.name);
        }
        Ok(text.replace(&self.find, &self.replace))
    }
}

/// A copy of the workspace that may be changed.
struct Copy {
    source: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Plants a fault, runs its tests, and takes the fault out again. How it was caught.
    fn try_out(&self, fault: &Fault, workspace: &Path) -> Result<String> {
        let path = self.source.join(&fault.file);
        fs::write(&path, fault.plant(workspace)?).context("cannot plant it")?;
        let outcome = self.outcome(fault.run);
        fs::copy(workspace.join(&fault.file), &path).context("cannot take it out again")?;
        let how = match outcome? {
            Outcome::Passed => bail!("nobody notices"),
            Outcome::Failed(why) => why,
            Outcome::Hung => HANG.to_owned(),
        };
        if !how.contains(&fault.sees) {
            bail!("noticed, but not for its reason: {how}");
        }
        Ok(how)
    }

    /// Builds the tests of a run, and runs them.
    fn outcome(&self, run: Run) -> Result<Outcome> {
        let (program, filter) = run.tests();
        run_test(&self.build(program)?, filter)
    }

    /// Builds a test program of `conformance`. One that does not compile proves nothing.
    fn build(&self, program: &str) -> Result<PathBuf> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--quiet", "--locked", "--package", "conformance", "--test", program, "--no-run"])
            .args(["--message-format=json", "--target-dir"])
            .arg(&self.target)
            .current_dir(&self.source)
            .env("CARGO_PROFILE_DEV_DEBUG", "0") // nobody debugs these, and they link faster
            .stdin(Stdio::null())
            .output()
            .context("cannot start cargo")?;
        let mut executable = None;
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        for message in Message::parse_stream(&output.stdout[..]) {
            match message.context("cannot read what cargo says")? {
                Message::CompilerArtifact(artifact) if artifact.target.name == program => {
                    executable = artifact.executable.map(PathBuf::from).or(executable);
                }
                Message::CompilerMessage(message) => said.extend(message.message.rendered),
                _ => {}
            }
        }
        if !output.status.success() {
            bail!("it does not compile:\n{said}");
        }
        executable.with_context(|| format!("conformance has no test program {program}"))
    }
}

/// Runs the tests whose name contains `filter`.
fn run_test(program: &Path, filter: &str) -> Result<Outcome> {
    let mut child = Command::new(program)
        .args(["--nocapture", "--test-threads=1", filter])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut stderr = child.stderr.take().context("its errors are a pipe")?;
    let (sender, ended) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let read = stderr.read_to_end(&mut said).map(|_| said);
        let _ = sender.send(()); // nobody listens any more if it took too long
        read
    });
    let hung = ended.recv_timeout(PATIENCE).is_err();
    if hung {
        child.kill().context("cannot end a test that hangs")?;
    }
    let status = child.wait()?;
    let said = reader.join().expect("the reader does not panic")?;
    Ok(match (hung, status.success()) {
        (true, _) => Outcome::Hung,
        (false, true) => Outcome::Passed,
        (false, false) => {
            Outcome::Failed(first_panic(String::from_utf8_lossy(&said).lines()).unwrap_or(status.to_string()))
        }
    })
}

/// Makes `to` what `from` is, but for history and what Cargo has built. A file that is the same already is left alone, and so needs
/// no building.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut kept = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let (source, copy) = (entry.path(), to.join(&name));
        let kind = entry.file_type()?;
        if name == ".git" || source.join("CACHEDIR.TAG").exists() {
            continue;
        }
        if kind.is_dir() {
            mirror(&source, &copy)?;
        } else if kind.is_file() {
            let bytes = fs::read(&source)?;
            if fs::read(&copy).ok().as_ref() != Some(&bytes) {
                fs::write(&copy, bytes)?;
            }
        } else {
            continue;
        }
        kept.insert(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !kept.contains(&entry.file_name()) {
            let path = entry.path();
            if entry.file_type()?.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_list_has_its_place() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let faults = list(workspace).expect("the list");
        assert!(RUNS.iter().all(|run| faults.iter().any(|fault| fault.run == *run)));
        assert!(faults.len() >= 10);
    }

    #[test]
    fn a_mirror_has_what_the_original_has() {
        let folder = std::env::temp_dir().join(format!("kp-mirror-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("src")).expect("a folder");
        fs::create_dir_all(from.join("target")).expect("a folder");
        fs::create_dir_all(to.join("old")).expect("a folder");
        fs::write(from.join("src/a.rs"), "new").expect("a file");
        fs::write(from.join("target/CACHEDIR.TAG"), "").expect("a file");
        fs::write(to.join("stale.rs"), "x").expect("a file");
        mirror(&from, &to).expect("a copy");
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder).expect("a folder");
            entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
        };
        assert_eq!(names(&to), ["src"]);
        assert_eq!(fs::read_to_string(to.join("src/a.rs")).expect("a file"), "new");
        fs::remove_dir_all(folder).expect("it goes");
    }
}
