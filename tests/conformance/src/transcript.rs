//! What a scenario saw, line by line. Every line is asserted as it is written, so a transcript is right before it is compared.
use std::fmt::Display;

/// A transcript under way.
#[derive(Default)]
pub struct Transcript {
    lines: Vec<String>,
}

impl Transcript {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A heading.
    pub fn part(&mut self, title: &str) {
        self.lines.push(format!("# {title}"));
    }

    /// A step and what came of it, which has to be `want`.
    ///
    /// # Panics
    /// If it is not: with the step, what came, and what should have.
    #[track_caller]
    pub fn step(&mut self, what: &str, got: impl Display, want: &str) {
        let got = got.to_string();
        assert_eq!(got, want, "{what}; so far:\n{}", self.text());
        self.lines.push(format!("{what}: {got}"));
    }

    /// All lines, each with its end.
    pub fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

/// `Ok`, or the error's name and detail.
pub fn outcome<T>(result: &kp_abi::Result<T>) -> String {
    match result {
        Ok(_) => "Ok".into(),
        Err(error) => error.to_string(),
    }
}

/// `Ok` and the value, or the error's name and detail.
pub fn answer<T: Display>(result: kp_abi::Result<T>) -> String {
    match result {
        Ok(value) => format!("Ok {value}"),
        Err(error) => error.to_string(),
    }
}

/// `Ok` and the text in quotes, or the error's name and detail.
pub fn text(result: kp_abi::Result<&[u8]>) -> String {
    match result {
        Ok(bytes) => format!("Ok \"{}\"", bytes.escape_ascii()),
        Err(error) => error.to_string(),
    }
}
