//! What must not compile does not, and its author sees why.
use compile_fail::{Compiler, Outcome, cases, cases_dir, normal, read_expectations, write_expectations};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// One case, and what became of it.
type Compiled = (String, Outcome);

struct Run {
    release: String,
    outcomes: Vec<Compiled>,
}

/// Compiled once for all tests. With `KP_BLESS` the expectations are written first.
static RUN: LazyLock<Run> = LazyLock::new(|| {
    let compiler = Compiler::prepare();
    let names = cases();
    let outcomes = compiler.compile_all(&cases_dir(), &names, &scratch());
    let outcomes = names.into_iter().zip(outcomes).collect();
    let run = Run { release: compiler.release, outcomes };
    if std::env::var_os("KP_BLESS").is_some() {
        bless(&run);
    }
    run
});

fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_default()
}

fn bless(run: &Run) {
    let known = read_expectations(&read(cases_dir().join("EXPECT")));
    let mut table = BTreeMap::new();
    for (case, outcome) in &run.outcomes {
        let mut expectation = known.get(case).cloned().unwrap_or_default();
        expectation.errors = outcome.errors.clone();
        table.insert(case.clone(), expectation);
        write(cases_dir().join(format!("{case}.stderr")), &normal(&outcome.text));
    }
    write(cases_dir().join("EXPECT"), &write_expectations(&table));
    write(cases_dir().join("COMPILER"), &format!("{}\n", run.release));
}

fn write(path: PathBuf, text: &str) {
    fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn assert_none(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} wrong:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn cases_fail_for_the_reason_written_down() {
    let outcomes = &RUN.outcomes;
    let table = read_expectations(&read(cases_dir().join("EXPECT")));
    let mut failures = Vec::new();
    for (case, outcome) in outcomes {
        let lacks = table.get(case).cloned().unwrap_or_default().lacks(outcome);
        failures.extend(lacks.into_iter().map(|lack| format!("{case}: {lack}")));
    }
    let gone = table.keys().filter(|case| !outcomes.iter().any(|(name, _)| name == *case));
    failures.extend(gone.map(|case| format!("{case}: in ui/EXPECT, but there is no such case")));
    assert_none(failures);
}

#[test]
fn the_recorded_compiler_says_it_word_for_word() {
    let release = &RUN.release;
    let recorded = read(cases_dir().join("COMPILER"));
    if recorded.trim() != release {
        println!("snapshots are of Rust {}, this is {release}: they are not compared", recorded.trim());
        return;
    }
    let mut failures = Vec::new();
    for (case, outcome) in &RUN.outcomes {
        let (wanted, got) = (read(cases_dir().join(format!("{case}.stderr"))), normal(&outcome.text));
        if wanted != got {
            failures.push(format!("== {case}: wanted\n{wanted}== {case}: got\n{got}"));
        }
    }
    assert_none(failures);
}

#[test]
fn every_snapshot_has_a_case() {
    let files =
        fs::read_dir(cases_dir()).expect("ui/ is beside tests/").map(|file| file.expect("a readable folder").path());
    let stray = files.filter(|file| {
        file.extension().is_some_and(|extension| extension == "stderr") && !file.with_extension("rs").exists()
    });
    assert_none(stray.map(|file| format!("{}: remove it", file.display())).collect());
}

/// The one thing that a broken set-up would look like: everything fails, whatever it is.
#[test]
fn a_case_that_is_right_compiles() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("right");
    let outcome = Compiler::prepare().compile(&dir, "right", &scratch());
    assert!(outcome.compiled, "{}", outcome.text);
}

/// What the README opens with is what a reader copies.
#[test]
fn the_readmes_plugin_compiles() {
    let readme = read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"));
    let plugin = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Rust");
    write(scratch().join("readme.rs"), &format!("{plugin}\n"));
    let outcome = Compiler::prepare().compile(&scratch(), "readme", &scratch());
    assert!(outcome.compiled, "{}", outcome.text);
}
