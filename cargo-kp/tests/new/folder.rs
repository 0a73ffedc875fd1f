//! A folder for one test, and the tool run in it.
use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// QEMU's edu, as a register file has it.
pub const EDU: &str = include_str!("../../../tests/cards/edu.csv");

/// A folder that is removed at the end.
pub struct Folder(TempDir);

/// How the tool ended.
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
    pub error: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), said: text(&output.stdout), error: text(&output.stderr) }
    }
}

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

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The names in it, with those that are hidden.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("the folder is there");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs `cargo kp` with words between blanks.
    pub fn kp(&self, words: &str) -> Ended {
        tool(self.path()).args(words.split_whitespace()).output().expect("the tool can be started").into()
    }

    /// Runs `cargo kp new` so that it has to succeed.
    pub fn new_card(&self, words: &str) -> String {
        let ended = self.kp(&format!("new {words}"));
        assert_eq!(ended.code, Some(0), "{words}: {}", ended.error);
        assert_eq!(ended.error, "", "{words}");
        ended.said
    }

    /// Runs cargo in one of the workspaces here, with this repository's versions and built crates. All that it said.
    pub fn cargo(&self, workspace: &str, words: &str) -> (bool, String) {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository");
        let folder = self.path().join(workspace);
        fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock")).expect("a file can be written");
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(words.split_whitespace())
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", repository.join("target"))
            .output()
            .expect("cargo can be started");
        let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat();
        (output.status.success(), said)
    }
}

/// The tool, to be run in a folder.
pub fn tool(folder: &Path) -> Command {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    tool.current_dir(folder).env_remove("CARGO_TARGET_DIR");
    tool
}
