//! What a stage's programs print, kept in a file for whoever wants to know more than how they ended.
use anyhow::{Context, Result};
use std::{fs, path::Path, sync::Mutex};

/// Takes it, from several threads at once, until the stage has ended.
#[derive(Debug, Default)]
pub struct Log(Mutex<String>);

impl Log {
    /// Keeps what one program or guest has said, below its name.
    pub fn keep<'a>(&self, name: &str, said: impl IntoIterator<Item = &'a String>) {
        let mut text = format!("== {name}\n");
        for line in said {
            text.push_str(line);
            text.push('\n');
        }
        self.0.lock().expect("no panic holds this").push_str(&text);
    }

    /// Writes the stage's file into a folder, in place of what an earlier run has left there.
    pub fn write(self, folder: &Path, stage: &str) -> Result<()> {
        let path = folder.join(file_name(stage));
        let text = self.0.into_inner().expect("no panic holds this");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A stage's name without what a shell would take for something else.
fn file_name(stage: &str) -> String {
    let words = stage.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| !word.is_empty());
    format!("{}.log", words.collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stages_file_has_what_each_program_said_in_this_run_alone() {
        let folder = tempfile::TempDir::with_prefix("kp-").expect("a folder");
        let folder = folder.path();
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        let log = Log::default();
        log.keep("fuzz 1 10", &lines(&["earlier"]));
        log.write(folder, "kp-user's tests, all").expect("written");
        let log = Log::default();
        log.keep("fuzz 1 10", &lines(&["seed 1", "Ok 3"]));
        log.keep("faults", &lines(&["not reached: x"]));
        log.write(folder, "kp-user's tests, all").expect("written");
        let text = fs::read_to_string(folder.join("kp-user-s-tests-all.log")).expect("the file");
        assert_eq!(text, "== fuzz 1 10\nseed 1\nOk 3\n== faults\nnot reached: x\n");
    }
}
