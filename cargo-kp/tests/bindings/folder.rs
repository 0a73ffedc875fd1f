//! A folder for one test, and the tool run in it.
use cargo_kp::bindings::File;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// A folder that is removed at the end.
pub struct Folder(TempDir);

impl Folder {
    /// A new one, outside of this repository.
    pub fn new() -> Self {
        Folder(TempDir::with_prefix("kp-").expect("a folder can be made"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.path().join(path), text).expect("a file can be written");
    }

    /// Writes files.
    pub fn put(&self, files: &[File]) {
        files.iter().for_each(|file| self.write(&file.path, &file.text));
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The names in a folder below, with those that are hidden.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path().join(path)).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs `cargo kp bindings` with words between blanks: its code, what it prints, and its last line of error.
    pub fn kp(&self, words: &str) -> (Option<i32>, String, String) {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
        tool.arg("bindings").args(words.split_whitespace()).current_dir(self.path());
        let Output { status, stdout, stderr } = tool.output().expect("the tool can be started");
        let error = String::from_utf8_lossy(&stderr).trim_end().to_owned();
        (status.code(), String::from_utf8_lossy(&stdout).into_owned(), error)
    }

    /// Runs a compiler here, which has to say nothing.
    pub fn compile(&self, compiler: &str, words: &str) {
        let mut command = Command::new(compiler);
        command.args(words.split_whitespace()).current_dir(self.path());
        let output = command.output().unwrap_or_else(|error| panic!("cannot start {compiler}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        let first: Vec<&str> = said.lines().take(40).collect();
        assert!(output.status.success() && said.is_empty(), "{compiler} {words}:\n{}", first.join("\n"));
    }
}
