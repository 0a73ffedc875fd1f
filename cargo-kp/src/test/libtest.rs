//! What a Rust test program prints, read line by line.
use super::stage::{Tally, first_panic};

/// The lines of one program after another.
#[derive(Debug, Default)]
pub struct Libtest {
    tally: Tally,
    /// Failed tests of the program that is printing, with what each has said.
    failed: Vec<(String, Vec<String>)>,
    lines: Vec<String>,
}

impl Libtest {
    /// Takes the next line.
    pub fn line(&mut self, line: &str) {
        if let Some((passed, failed)) = summary(line) {
            self.tally.pass(passed);
            let told = std::mem::take(&mut self.failed);
            for (name, said) in &told {
                self.tally.fail(name, &first_panic(said.iter().map(String::as_str)).unwrap_or("see above".into()));
            }
            (told.len()..failed).for_each(|_| self.tally.fail("a test", "see above"));
            return;
        }
        let name = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        match (name, self.failed.last_mut()) {
            (Some(name), _) => self.failed.push((name.to_owned(), Vec::new())),
            (None, Some((_, said))) => said.push(line.to_owned()),
            (None, None) => {}
        }
        self.lines.push(line.to_owned());
    }

    /// What came of all. If there was a failure, prints what the programs said. `success`: what their processes say.
    pub fn end(mut self, name: &str, success: bool) -> Tally {
        if !success || !self.tally.failures().is_empty() {
            self.lines.iter().for_each(|line| println!("    {line}"));
        }
        if !success && self.tally.failures().is_empty() {
            self.tally.report(name, Err("failed without a failed test: see above".into()));
        }
        self.tally
    }
}

/// Reads `test result: ok. 3 passed; 0 failed; …`: how many passed, and how many did not.
fn summary(line: &str) -> Option<(usize, usize)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |name: &str| {
        let part = counts.split("; ").find(|part| part.ends_with(name))?;
        part.split(' ').next()?.parse().ok()
    };
    Some((number(" passed")?, number(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &str) -> Libtest {
        let mut libtest = Libtest::default();
        said.lines().for_each(|line| libtest.line(line));
        libtest
    }

    #[test]
    fn a_failed_test_is_told_with_its_reason() {
        let said = "running 4 tests\n.F.F\nfailures:\n\n---- a::b stdout ----\n\nthread 'a::b' (7) panicked at x.rs:1:2:\nno\n\
                    note: run\n\n\nfailures:\n    a::b\n\n\
                    test result: FAILED. 2 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                    running 1 test\n\
                    test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        let tally = read(said).end("t", false);
        assert_eq!(
            (tally.passed(), tally.failures()),
            (3, &["a::b: no".to_owned(), "a test: see above".to_owned()][..])
        );
    }

    #[test]
    fn a_program_that_ends_badly_without_a_failed_test_fails() {
        assert_eq!(read("running 3 tests").end("t", false).failures().len(), 1);
        assert_eq!(read("running 3 tests").end("t", true), Tally::default());
    }
}
