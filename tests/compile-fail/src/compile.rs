//! Compiles cases: one `cargo build` of what they use, then one rustc each, or one clippy.
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// A compiler, and the libraries that cases use.
pub struct Compiler {
    rustc: String,
    /// As rustc names it: `1.95.0`.
    pub release: String,
    /// Name and file.
    libraries: Vec<(String, PathBuf)>,
}

/// What became of a case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Did it compile? It must not.
    pub compiled: bool,
    /// Code, which may be empty, and line in the case of each error, in order of line; line 0 if it has no place there.
    pub errors: Vec<(String, usize)>,
    /// Everything that the author sees.
    pub text: String,
}

impl Compiler {
    /// Builds the libraries.
    pub fn prepare() -> Self {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let version = output(Command::new(&rustc).arg("-vV"));
        let release = version.lines().find_map(|line| line.strip_prefix("release: ")).expect("rustc -vV has a release");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package=kp-core", "--package=kp-abi", "--message-format=json"]);
        let built = output(build.current_dir(env!("CARGO_MANIFEST_DIR")));
        let libraries = built.lines().filter_map(library).collect::<Vec<_>>();
        assert_eq!(libraries.len(), 2, "kp_core and kp_abi, once each: {libraries:?}");
        Self { rustc, release: release.to_owned(), libraries }
    }

    /// What all cases of folder `dir` are compiled with: as plugins are built, and with the libraries.
    fn arguments(&self, compiler: &str, dir: &Path, case: &str) -> Command {
        let mut rustc = Command::new(compiler);
        rustc.current_dir(dir).arg(format!("{case}.rs"));
        rustc.args(["--crate-type=lib", "--crate-name=case", "--forbid=unsafe_code"]);
        for (name, file) in &self.libraries {
            rustc.arg(format!("--extern={name}={}", file.display()));
            let deps = file.parent().expect("a file has a folder");
            rustc.arg(format!("-Ldependency={}", deps.display())).arg(format!("-Ldependency={}/deps", deps.display()));
        }
        rustc
    }

    /// What the compiler and clippy have to say of a case that is right: nothing, if all is well. `lints` are arguments, as `-Wunused`.
    pub fn lint(&self, dir: &Path, case: &str, edition: &str, lints: &[&str], scratch: &Path) -> String {
        let mut clippy = self.arguments("clippy-driver", dir, case);
        clippy.arg(format!("--edition={edition}")).arg("--emit=metadata").args(lints);
        clippy.arg(format!("-o{}", scratch.join(format!("{case}-{edition}.rmeta")).display()));
        let result = clippy.output();
        let result = result.unwrap_or_else(|error| {
            panic!("cannot run clippy-driver: {error}; `rustup component add clippy` installs it")
        });
        let said = String::from_utf8_lossy(&result.stderr).into_owned();
        assert!(result.status.success() || !said.is_empty(), "clippy-driver: {}", result.status);
        said
    }

    /// Compiles one case of folder `dir`. `scratch` is a folder for what rustc writes.
    pub fn compile(&self, dir: &Path, case: &str, scratch: &Path) -> Outcome {
        let mut rustc = self.arguments(&self.rustc, dir, case);
        rustc.arg(format!("-o{}", scratch.join(case).display()));
        // Up to code generation: some constants are evaluated only there. Warnings are not the point.
        rustc.args(["--edition=2024", "--emit=obj", "--error-format=json", "--allow=warnings"]);
        let result =
            rustc.output().unwrap_or_else(|error| panic!("cannot run {}: {error}; is Rust installed?", self.rustc));
        let mut outcome = Outcome { compiled: result.status.success(), ..Outcome::default() };
        let file = format!("{case}.rs");
        let mut unplaced = None;
        for line in String::from_utf8_lossy(&result.stderr).lines() {
            let Ok(message) = serde_json::from_str::<Value>(line) else { panic!("rustc said, for {case}: {line}") };
            let is_error = message["level"] == "error";
            if message["level"] == "failure-note" || is_error && message["spans"].as_array().is_none_or(Vec::is_empty) {
                continue; // how many errors there were, and what to do about them
            }
            outcome.text += message["rendered"].as_str().unwrap_or_default();
            let place = line_in(&message, &file);
            if is_error {
                // An error in a library is followed by a note on the place in the case that it comes from.
                outcome.errors.extend(unplaced.take().map(|code| (code, 0)));
                unplaced = Some(message["code"]["code"].as_str().unwrap_or_default().to_owned());
            }
            if let Some(line) = place
                && let Some(code) = unplaced.take()
            {
                outcome.errors.push((code, line));
            }
        }
        outcome.errors.extend(unplaced.map(|code| (code, 0)));
        outcome.errors.sort_by_key(|(code, line)| (*line, code.clone()));
        outcome.errors.dedup();
        outcome
    }

    /// Compiles all cases, as many at once as there are processors.
    pub fn compile_all(&self, dir: &Path, cases: &[String], scratch: &Path) -> Vec<Outcome> {
        let outcomes: Vec<Mutex<Outcome>> = cases.iter().map(|_| Mutex::default()).collect();
        let queue = Mutex::new(cases.iter().zip(&outcomes));
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    loop {
                        let Some((case, outcome)) = queue.lock().expect("nobody panics with it").next() else { break };
                        *outcome.lock().expect("ours alone") = self.compile(dir, case, scratch);
                    }
                });
            }
        });
        outcomes.into_iter().map(|outcome| outcome.into_inner().expect("no thread panicked")).collect()
    }
}

/// Name and file of the library that a line of cargo's messages tells of, if it is one of ours.
fn library(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let name = message["target"]["name"].as_str().filter(|name| ["kp_core", "kp_abi"].contains(name))?;
    let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    let file = files.find(|file| file.ends_with(".rlib"))?;
    Some((name.to_owned(), PathBuf::from(file)))
}

/// The line of `file` that a message is about: for what a macro wrote, where the macro is used.
fn line_in(message: &Value, file: &str) -> Option<usize> {
    let spans = message["spans"].as_array()?;
    let primary = spans.iter().find(|span| span["is_primary"] == true)?;
    let mut line = None;
    let mut span = primary;
    while !span.is_null() {
        if span["file_name"] == file {
            line = span["line_start"].as_u64();
        }
        span = &span["expansion"]["span"];
    }
    line.map(|line| line as usize)
}

/// What a tool prints; it must succeed.
fn output(command: &mut Command) -> String {
    let result = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}; is Rust installed?"));
    assert!(result.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&result.stderr));
    String::from_utf8(result.stdout).expect("text")
}
