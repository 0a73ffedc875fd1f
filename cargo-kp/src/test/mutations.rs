//! Mutation testing: faults planted in the framework, one at a time, in a copy of the workspace. The tests must catch each, for its own
//! reason. The product itself has no code for this.
//!
//! Most are caught by tests of a crate, in this process's time; those of the C glue need a kernel.
use super::{
    boots::NVME,
    planted::{behind_a_port, expecting_a_panic_beside_work, expecting_panics},
    stage::{Stage, Tally, first_panic},
};
use crate::{
    guest::plan::Step,
    host::{self, MODULES, PROGRAM},
    programs,
    vm::{Verdict, Vm},
};
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
const LIST: &str = "tests/mutations/mutations.toml";
/// After this a run is taken to hang. The tests end in seconds, and give up waiting for an interrupt after 30.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same in the loader, where a call has 20 s as its device goes to sleep.
const LOADER_PATIENCE: Duration = Duration::from_secs(120);
/// What `sees` says of a run that has to hang.
const HANG: &str = "hang";
/// The kernel on which one is enough.
const KERNEL: &str = "6.12-cloud";
/// One of which a machine is made that sleeps.
const SLEEPER: &str = "6.12";

/// The stage, with `--long`.
pub fn stages(long: bool) -> Vec<Stage> {
    if long { vec![stage(Vec::new())] } else { Vec::new() }
}

/// The faults of which name or file contains one of these; all, if none is given.
pub fn stage(parts: Vec<String>) -> Stage {
    Stage::new("mutations", move |setup, _| planted(setup, &parts))
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
    #[serde(deserialize_with = "run")]
    run: Run,
    /// A part of what the test says that catches it, or `hang`.
    sees: String,
}

/// Which tests look for it. In the list: `scenario` or `hostile` (tests of `conformance` in the simulator), or
/// `test PACKAGE PROGRAM [NAME]` (the tests of a package's test program, or of its library, `lib`, whose name contains NAME), or
/// `loader ARGUMENTS` (the conformance program's tests on the real Windows drivers in the loader), or `guest ARGUMENTS` (the conformance
/// program with these arguments, in a kernel; `guest32`: as a 32-bit app).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Run {
    Test { package: String, program: String, filter: String, is_ignored: bool },
    Guest { arguments: Vec<String>, is_32bit: bool },
    Loader { arguments: Vec<String> },
}

impl Run {
    fn parse(text: &str) -> Result<Self> {
        let of = |package: &str, program: &str, filter: &str, is_ignored| Run::Test {
            package: package.to_owned(),
            program: program.to_owned(),
            filter: filter.to_owned(),
            is_ignored,
        };
        let test = |package: &str, program: &str, filter: &str| of(package, program, filter, false);
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words[..] {
            ["scenario"] => test("conformance", "simulator", "the_transcript_is_the_one_that_every_host_gives"),
            ["hostile"] => test("conformance", "simulator", "every_bad_request_has_its_status_and_changes_nothing"),
            ["test", package, program] => test(package, program, ""),
            ["test", package, program, filter] => test(package, program, filter),
            ["ignored", package, program, filter] => of(package, program, filter, true),
            ["loader", ref arguments @ ..] if !arguments.is_empty() => {
                Run::Loader { arguments: arguments.iter().map(|&word| word.to_owned()).collect() }
            }
            [which @ ("guest" | "guest32"), ref arguments @ ..] if !arguments.is_empty() => Run::Guest {
                arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
                is_32bit: which == "guest32",
            },
            _ => bail!(
                "`{text}` is no run: write scenario, hostile, test PACKAGE PROGRAM [NAME], ignored PACKAGE PROGRAM NAME, \
                 loader ARGUMENTS, guest ARGUMENTS, guest32 ARGUMENTS"
            ),
        })
    }
}

fn run<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Run, D::Error> {
    let text = String::deserialize(from)?;
    Run::parse(&text).map_err(serde::de::Error::custom)
}

/// How a run of tests came out.
enum Outcome {
    Passed,
    Failed {
        /// What the first panic said, in one line.
        why: String,
        /// All that was said: a test may be about a panic.
        said: String,
    },
    Hung,
}

fn planted(setup: bool, parts: &[String]) -> Result<Tally> {
    let copy = Copy::of_workspace(setup)?;
    let faults = chosen(list(&copy.workspace)?, parts)?;
    let runs: BTreeSet<&Run> = faults.iter().map(|fault| &fault.run).collect();
    for run in runs {
        match copy.outcome(run).context("without a fault")? {
            Outcome::Passed => {}
            Outcome::Failed { why, .. } => bail!("{run:?} fails without a fault: {why}"),
            Outcome::Hung => bail!("{run:?} hangs without a fault"),
        }
    }
    let mut tally = Tally::default();
    tally.pass(1);
    for fault in &faults {
        match copy.try_out(fault) {
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

/// Those of which name or file contains one of `parts`; all, if there is none. Each part chooses some.
fn chosen(faults: Vec<Fault>, parts: &[String]) -> Result<Vec<Fault>> {
    let has = |fault: &Fault, part: &str| fault.name.contains(part) || fault.file.to_string_lossy().contains(part);
    if let Some(part) = parts.iter().find(|part| !faults.iter().any(|fault| has(fault, part))) {
        bail!("no fault's name or file contains `{part}`: {LIST} has them");
    }
    Ok(faults.into_iter().filter(|fault| parts.is_empty() || parts.iter().any(|part| has(fault, part))).collect())
}

impl Fault {
    fn change(&self) -> Change<'_> {
        Change { file: &self.file, find: &self.find, replace: &self.replace }
    }

    /// The file with the fault in it.
    fn plant(&self, workspace: &Path) -> Result<String> {
        self.change().made_in(workspace).with_context(|| format!("mend {} in {LIST}", self.name))
    }
}

/// A change of one place in a file of the workspace.
pub(super) struct Change<'a> {
    pub(super) file: &'a Path,
    /// What is there, exactly once.
    pub(super) find: &'a str,
    /// What is put there instead.
    pub(super) replace: &'a str,
}

impl Change<'_> {
    /// The file with the change in it.
    pub(super) fn made_in(&self, workspace: &Path) -> Result<String> {
        let path = workspace.join(self.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let times = text.matches(self.find).count();
        if times != 1 {
            bail!("{:?} is {times} times in {}, not once", self.find, self.file.display());
        }
        Ok(text.replace(self.find, self.replace))
    }
}

/// A copy of the workspace that may be changed.
pub(super) struct Copy {
    workspace: PathBuf,
    source: PathBuf,
    target: PathBuf,
    /// Packages may be installed.
    setup: bool,
}

impl Copy {
    pub(super) fn of_workspace(setup: bool) -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the Cargo workspace here")?;
        let workspace = metadata.workspace_root.into_std_path_buf();
        let folder = metadata.target_directory.join("kp/mutations").into_std_path_buf();
        let copy = Copy { workspace, source: folder.join("source"), target: folder.join("target"), setup };
        mirror(&copy.workspace, &copy.source).context("cannot copy the workspace")?;
        Ok(copy)
    }

    /// Does something with a change made in the copy, and takes the change out again.
    pub(super) fn with<T>(&self, change: &Change<'_>, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.source.join(change.file);
        fs::write(&path, change.made_in(&self.workspace)?).context("cannot plant it")?;
        let done = act();
        fs::copy(self.workspace.join(change.file), &path).context("cannot take it out again")?;
        done
    }

    /// Plants a fault, runs its tests, and takes the fault out again. How it was caught.
    fn try_out(&self, fault: &Fault) -> Result<String> {
        let (how, said) = match self.with(&fault.change(), || self.outcome(&fault.run))? {
            Outcome::Passed => bail!("nobody notices"),
            Outcome::Failed { why, said } => (why, said),
            Outcome::Hung => (HANG.to_owned(), String::new()),
        };
        if !how.contains(&fault.sees) && !said.contains(&fault.sees) {
            bail!("noticed, but not for its reason: {how}");
        }
        Ok(how)
    }

    /// Builds what a run needs, and runs it.
    fn outcome(&self, run: &Run) -> Result<Outcome> {
        match run {
            Run::Test { package, program, filter, is_ignored } => {
                run_test(&self.build(package, program)?, filter, *is_ignored)
            }
            Run::Loader { arguments } => self.run_loader(arguments),
            Run::Guest { arguments, is_32bit } => self.run_guest(arguments, *is_32bit),
        }
    }

    /// Builds the Windows drivers, and runs the workspace's own conformance program on them.
    fn run_loader(&self, arguments: &[String]) -> Result<Outcome> {
        let program = programs::build("conformance")?;
        for plugin in ["edu", "trouble"] {
            self.build_plugin(plugin, &["--target", "windows"])?;
        }
        for name in arguments {
            let mut test = Command::new(&program);
            test.args(["loader", name]).arg(self.target.join("kp"));
            let outcome = run_to_its_end(test, LOADER_PATIENCE)?;
            if !matches!(outcome, Outcome::Passed) {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Passed)
    }

    /// Builds a plugin of the copy: its file.
    pub(super) fn build_plugin(&self, plugin: &str, target: &[&str]) -> Result<PathBuf> {
        let mut build = Command::new(programs::this_tool());
        build.args(["build", "--plugin", plugin]).args(target).args(self.setup.then_some("--setup"));
        let built = build.current_dir(&self.source).env("CARGO_TARGET_DIR", &self.target).output()?;
        if !built.status.success() {
            bail!("it does not build: {}", String::from_utf8_lossy(&built.stderr));
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&built.stdout).trim()))
    }

    /// Builds the modules, boots a kernel, and runs the workspace's own conformance program there.
    fn run_guest(&self, arguments: &[String], is_32bit: bool) -> Result<Outcome> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // What is planted is the one plugin's, and a module takes longer to build than to run.
        let (name, plugins): (&str, &[&str]) = match words[..] {
            ["planted", ..] => (KERNEL, &["trouble"]),
            ["nvme", ..] => (KERNEL, &["nvme"]),
            ["own-asleep"] => (SLEEPER, &["eduown"]),
            ["clockwork-panic"] => (KERNEL, &["clockwork"]),
            _ => (KERNEL, &["echo", "edu", "trouble"]),
        };
        let kernel = host::kernel_to_boot(name, self.setup)?;
        let mut vm = Vm::new(&kernel).device(host::EDU).cpus(2).timeout(Duration::from_secs(400));
        let program = match is_32bit {
            true => programs::build_32bit("conformance", self.setup)?,
            false => programs::build("conformance")?,
        };
        vm = vm.program(program, PROGRAM);
        for plugin in plugins {
            let module = self.build_plugin(plugin, &["--target", name])?;
            vm = vm.file(&module, &format!("{MODULES}/kp-{plugin}.ko"));
        }
        vm = match words[..] {
            ["nvme", ..] => vm.device(NVME),
            ["planted", "errors"] => behind_a_port(vm),
            ["planted", "panic"] => expecting_panics(vm)?,
            ["clockwork-panic"] => expecting_a_panic_beside_work(vm),
            _ => vm,
        };
        let argv = [&[PROGRAM], &words[..]].concat();
        let report = vm.step(Step::run(&argv)).run(&mut |_| {})?;
        Ok(match &report.verdict {
            Verdict::Passed => Outcome::Passed,
            Verdict::Failed(why) => {
                let said = report.output.iter().map(String::as_str);
                let first = first_panic(said).unwrap_or_else(|| why.clone());
                Outcome::Failed { why: first, said: format!("{}\n{why}", report.output.join("\n")) }
            }
        })
    }

    /// Builds a test program. One that does not compile proves nothing.
    fn build(&self, package: &str, program: &str) -> Result<PathBuf> {
        let which: &[&str] = if program == "lib" { &["--lib"] } else { &["--test", program] };
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--quiet", "--locked", "--package", package, "--no-run"])
            .args(which)
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
                Message::CompilerArtifact(artifact) if artifact.profile.test => {
                    executable = artifact.executable.map(PathBuf::from).or(executable);
                }
                Message::CompilerMessage(message) => said.extend(message.message.rendered),
                _ => {}
            }
        }
        if !output.status.success() {
            bail!("it does not compile:\n{said}");
        }
        executable.with_context(|| format!("{package} has no test program {program}"))
    }
}

/// Runs the tests whose name contains `filter`; `is_ignored`: those that need programs beside Rust's own.
fn run_test(program: &Path, filter: &str, is_ignored: bool) -> Result<Outcome> {
    let mut test = Command::new(program);
    test.args(["--nocapture", "--test-threads=1", filter]).args(is_ignored.then_some("--ignored"));
    run_to_its_end(test, PATIENCE)
}

/// Runs a program that panics if a test fails.
fn run_to_its_end(mut program: Command, patience: Duration) -> Result<Outcome> {
    let mut child = program
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.get_program().display()))?;
    let mut stderr = child.stderr.take().context("its errors are a pipe")?;
    let (sender, ended) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let read = stderr.read_to_end(&mut said).map(|_| said);
        let _ = sender.send(()); // nobody listens any more if it took too long
        read
    });
    let hung = ended.recv_timeout(patience).is_err();
    if hung {
        child.kill().context("cannot end a test that hangs")?;
    }
    let status = child.wait()?;
    let said = reader.join().expect("the reader does not panic")?;
    Ok(match (hung, status.success()) {
        (true, _) => Outcome::Hung,
        (false, true) => Outcome::Passed,
        (false, false) => {
            let said = String::from_utf8_lossy(&said).into_owned();
            Outcome::Failed { why: first_panic(said.lines()).unwrap_or(status.to_string()), said }
        }
    })
}

/// Makes `to` what `from` is, but for history and what Cargo has built. A file that is the same already is left alone, and so needs
/// no building.
pub(super) fn mirror(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut kept = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let (source, copy) = (entry.path(), to.join(&name));
        let kind = entry.file_type()?;
        if name == ".git" || source.join("CACHEDIR.TAG").exists() || to.starts_with(&source) {
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
        assert!(faults.len() >= 10);
    }

    #[test]
    fn a_part_of_a_name_or_file_chooses_faults_and_one_of_none_is_an_error() {
        let fault = |name: &str, file: &str| Fault {
            name: name.into(),
            promise: String::new(),
            file: file.into(),
            find: String::new(),
            replace: String::new(),
            run: Run::parse("hostile").expect("a run"),
            sees: String::new(),
        };
        let chosen = |parts: &[&str]| {
            let parts: Vec<String> = parts.iter().map(|part| part.to_string()).collect();
            let faults = vec![fault("lost count", "core/isr.rs"), fault("no sync", "core/dma.rs")];
            chosen(faults, &parts).map(|faults| faults.into_iter().map(|fault| fault.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).expect("all"), ["lost count", "no sync"]);
        assert_eq!(chosen(&["isr.rs"]).expect("by file"), ["lost count"]);
        assert_eq!(chosen(&["sync", "lost"]).expect("by name"), ["lost count", "no sync"]);
        let why = chosen(&["sync", "ring"]).expect_err("none").to_string();
        assert_eq!(why, format!("no fault's name or file contains `ring`: {LIST} has them"));
    }

    #[test]
    fn a_mirror_has_what_the_original_has() {
        let folder = tempfile::TempDir::with_prefix("kp-").expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
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
    }
}
