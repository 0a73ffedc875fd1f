//! Words that are not used here: where a text has one.
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What files are read.
const EXTENSIONS: [&str; 4] = ["rs", "c", "h", "md"];

/// The list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    #[serde(rename = "identifier")]
    identifiers: Vec<Word>,
    #[serde(rename = "phrase")]
    phrases: Vec<Word>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    word: String,
    #[serde(rename = "use")]
    instead: String,
    /// Folders; empty: everywhere.
    #[serde(default)]
    only: Vec<String>,
}

impl Word {
    fn applies_to(&self, file: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|folder| Path::new(file).starts_with(folder))
    }

    fn found(&self, file: &str, line: usize) -> String {
        format!("{file}:{line}: `{}` is not used here: say {}", self.word, self.instead)
    }
}

impl Words {
    /// Reads the list.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// Where the text of this file has one of the words: a line each, with the word to use.
    pub fn find(&self, file: &str, text: &str) -> Vec<String> {
        let parts = if file.ends_with(".md") { page(text) } else { source(text) };
        let mut found: Vec<(usize, String)> = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let quoted: String = part.prose.split('`').skip(1).step_by(2).collect::<Vec<_>>().join(" ");
            let names: Vec<&str> = names(&part.code).chain(names(&quoted)).collect();
            let words = self.identifiers.iter().filter(|word| word.applies_to(file));
            found.extend(
                words.filter(|word| names.contains(&word.word.as_str())).map(|word| (at, word.found(file, at + 1))),
            );
        }
        let words: Vec<(usize, String)> = text.lines().enumerate().flat_map(|(at, line)| english(line, at)).collect();
        for phrase in self.phrases.iter().filter(|phrase| phrase.applies_to(file)) {
            let wanted: Vec<&str> = phrase.word.split(' ').collect();
            let here = words.windows(wanted.len()).filter(|here| here.iter().map(|(_, word)| word).eq(&wanted));
            found.extend(here.map(|here| (here[0].0, phrase.found(file, here[0].0 + 1))));
        }
        found.sort();
        found.into_iter().map(|(_, text)| text).collect()
    }
}

/// All files below a folder in which words are looked for. What is built is left out.
///
/// # Panics
/// If the folder cannot be read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        if path.is_dir() {
            if !path.ends_with("target") {
                files.extend(self::files(&path));
            }
        } else if path.extension().is_some_and(|ext| EXTENSIONS.iter().any(|known| ext == *known)) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// One line: what is code, without its texts, and what is written for people.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    code: String,
    prose: String,
}

fn page(text: &str) -> Vec<Line> {
    text.lines().map(|line| Line { code: String::new(), prose: line.to_owned() }).collect()
}

/// Where a reader of Rust or C is.
#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    /// How deep: Rust's nest.
    Comment(u32),
    Text,
    /// With as many `#`.
    RawText(usize),
}

/// Takes Rust or C apart.
fn source(text: &str) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    let mut state = State::Code;
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c == '\n' {
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            lines.push(Line::default());
            at += 1;
            continue;
        }
        let last = lines.len() - 1;
        let line = &mut lines[last];
        let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
        let mut step = 1;
        match state {
            State::Code if starts(at, "//") => state = State::LineComment,
            State::Code if starts(at, "/*") => (state, step) = (State::Comment(1), 2),
            State::Code if c == '"' => state = State::Text,
            State::Code if c == 'r' && chars.get(at + 1 + hashes) == Some(&'"') && !ends_in_name(&line.code) => {
                (state, step) = (State::RawText(hashes), hashes + 2);
            }
            // A character, not a lifetime.
            State::Code if c == '\'' && chars.get(at + 1) == Some(&'\\') => {
                let end = chars[at + 3..].iter().position(|&c| c == '\'').unwrap_or(0);
                step = end + 4;
            }
            State::Code if c == '\'' && chars.get(at + 2) == Some(&'\'') => step = 3,
            State::Code => line.code.push(c),
            State::Comment(1) if starts(at, "*/") => (state, step) = (State::Code, 2),
            State::Comment(depth) if starts(at, "*/") => (state, step) = (State::Comment(depth - 1), 2),
            State::Comment(depth) if starts(at, "/*") => (state, step) = (State::Comment(depth + 1), 2),
            State::LineComment | State::Comment(_) => line.prose.push(c),
            // A line end behind it is one still.
            State::Text if c == '\\' => step = if chars.get(at + 1) == Some(&'\n') { 1 } else { 2 },
            State::Text if c == '"' => state = State::Code,
            State::RawText(with) if c == '"' && hashes >= with => (state, step) = (State::Code, with + 1),
            State::Text | State::RawText(_) => {}
        }
        at += step;
    }
    lines
}

fn ends_in_name(code: &str) -> bool {
    code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty())
}

/// The words of a line, small, with the line's number.
fn english(line: &str, at: usize) -> impl Iterator<Item = (usize, String)> {
    let words = line.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.map(move |word| (at, word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
        [[identifier]]
        word = "Gizmo"
        use = "Device"
        [[identifier]]
        word = "Knob"
        use = "Register"
        only = ["here"]
        [[phrase]]
        word = "sort of"
        use = "partly"
    "#;

    fn found(file: &str, text: &str) -> Vec<String> {
        let found = Words::parse(LIST).unwrap().find(file, text);
        found.into_iter().map(|found| found.split_once(": ").unwrap().0.to_owned()).collect()
    }

    #[test]
    fn an_identifier_is_found_in_code_and_between_backticks() {
        let text = "struct Gizmo;\n/// A `Gizmo::new`.\nfn f<'a>(_: &'a Gizmo) {}\n/* `Gizmo` */";
        assert_eq!(found("a.rs", text), ["a.rs:1", "a.rs:2", "a.rs:3", "a.rs:4"]);
        assert_eq!(found("a.md", "Gizmo\n`gizmo`\n`Gizmo`"), ["a.md:3"]);
    }

    #[test]
    fn english_texts_and_other_names_are_no_identifiers() {
        let text = "// Gizmo: a thing\nlet x = \"Gizmo \\\" Gizmo\"; let y = r#\"Gizmo\"#; GizmoTwo; '\"'; my_Gizmo; '\\'';\n/* a\nGizmo */";
        assert_eq!(found("a.rs", text), Vec::<String>::new());
        assert_eq!(found("a.rs", "f('\"'); Gizmo"), ["a.rs:1"]);
    }

    #[test]
    fn a_phrase_is_found_in_names_texts_and_across_lines() {
        let text = "fn sort_of() {}\n// Sort\n// of.\nlet x = \"sort of\";\nresort of";
        assert_eq!(found("a.rs", text), ["a.rs:1", "a.rs:2", "a.rs:4"]);
    }

    #[test]
    fn a_word_may_be_for_some_folders_only() {
        assert_eq!(found("here/a.c", "int Knob;"), ["here/a.c:1"]);
        assert_eq!(found("there/a.c", "int Knob;"), Vec::<String>::new());
    }

    #[test]
    fn what_is_found_says_the_word_to_use() {
        let said = Words::parse(LIST).unwrap().find("a.rs", "Gizmo");
        assert_eq!(said, ["a.rs:1: `Gizmo` is not used here: say Device"]);
    }
}
