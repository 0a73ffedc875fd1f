//! What a case must fail with, on any compiler: the file `EXPECT`.
use crate::Outcome;
use std::{collections::BTreeMap, fmt::Write};

/// What one case must fail with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Code, or empty, and line of each error.
    pub errors: Vec<(String, usize)>,
    /// Sentences that this project wrote, as its author sees them. A path before a type's name counts for nothing.
    pub sentences: Vec<String>,
}

impl Expectation {
    /// What `outcome` lacks, in words; nothing if it is as expected. More errors than expected are fine: compilers differ in how
    /// far they go on.
    pub fn lacks(&self, outcome: &Outcome) -> Vec<String> {
        if outcome.compiled {
            return vec!["it compiles".into()];
        }
        let mut lacks = Vec::new();
        if self.errors.is_empty() {
            lacks.push("no error is written down in ui/EXPECT: run with KP_BLESS=1 and look at what it writes".into());
        }
        for error @ (code, line) in &self.errors {
            if !outcome.errors.contains(error) {
                lacks.push(format!("no error {code} at line {line}, but {:?}", outcome.errors));
            }
        }
        let text = plain(&outcome.text);
        let missing = self.sentences.iter().filter(|sentence| !text.contains(&plain(sentence)));
        lacks.extend(missing.map(|sentence| format!("nothing says: {sentence}")));
        lacks
    }
}

/// Text in one line, without what compilers print differently: gutters, line breaks, the crate before a type's name.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "|").collect();
    words.join(" ").replace("kp_core::", "").replace("kp_abi::", "").replace("regs::", "")
}

/// Reads the file: a line `case: code@line code@line`, and below it a line `    sentence` each.
pub fn read_expectations(text: &str) -> BTreeMap<String, Expectation> {
    let mut table: BTreeMap<String, Expectation> = BTreeMap::new();
    let mut case = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(sentence) = line.strip_prefix("    ") {
            table.entry(case.clone()).or_default().sentences.push(sentence.to_owned());
            continue;
        }
        let (name, errors) =
            line.split_once(':').unwrap_or_else(|| panic!("ui/EXPECT: want `case: code@line`: {line}"));
        case = name.to_owned();
        let errors = errors.split_whitespace().map(|error| {
            let parts = error.split_once('@').and_then(|(code, line)| Some((code.to_owned(), line.parse().ok()?)));
            parts.unwrap_or_else(|| panic!("ui/EXPECT: want code@line: {error}"))
        });
        table.entry(case.clone()).or_default().errors = errors.collect();
    }
    table
}

/// Writes the file.
pub fn write_expectations(table: &BTreeMap<String, Expectation>) -> String {
    let mut text = String::from(
        "# case: code@line of each error, and the sentences that this project's own attributes and macros say.\n\
         # Holds for every compiler. Codes and lines are written by KP_BLESS=1, sentences by hand.\n",
    );
    for (case, expectation) in table {
        let errors: Vec<String> = expectation.errors.iter().map(|(code, line)| format!("{code}@{line}")).collect();
        let _ = writeln!(text, "{case}: {}", errors.join(" "));
        for sentence in &expectation.sentences {
            let _ = writeln!(text, "    {sentence}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation() -> Expectation {
        read_expectations("# words\na: E0277@3\n    this code runs at level `Irql`, too high\n").remove("a").unwrap()
    }

    fn outcome(code: &str, line: usize, text: &str) -> Outcome {
        Outcome { compiled: false, errors: vec![(code.into(), line)], text: text.into() }
    }

    #[test]
    fn wrapped_and_qualified_text_is_recognised() {
        let good = outcome("E0277", 3, "error: this code runs at level `kp_core::Irql`,\n  |   too high for this");
        assert!(expectation().lacks(&good).is_empty());
    }

    #[test]
    fn another_code_line_or_sentence_is_told() {
        let text = "this code runs at level `Irql`, too high";
        assert!(expectation().lacks(&outcome("E0308", 3, text))[0].starts_with("no error E0277 at line 3"));
        assert!(expectation().lacks(&outcome("E0277", 4, text))[0].starts_with("no error E0277 at line 3"));
        assert!(
            expectation().lacks(&outcome("E0277", 3, "mismatched types"))[0].starts_with("nothing says: this code")
        );
    }

    #[test]
    fn a_case_that_compiles_or_has_no_expectation_is_told() {
        assert_eq!(expectation().lacks(&Outcome { compiled: true, ..Outcome::default() }), ["it compiles"]);
        assert!(Expectation::default().lacks(&outcome("E0277", 3, ""))[0].starts_with("no error is written down"));
    }

    #[test]
    fn the_file_is_written_as_it_is_read() {
        let table = BTreeMap::from([("a".to_owned(), expectation())]);
        assert_eq!(read_expectations(&write_expectations(&table)), table);
    }
}
