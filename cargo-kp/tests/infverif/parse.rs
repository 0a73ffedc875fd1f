//! An INF, read by the rules of "General Syntax Rules for INF Files" and "INF Strings Section": not by what wrote it.
use std::fmt;

/// A whole file.
#[derive(Debug, Default)]
pub struct Inf {
    pub sections: Vec<Section>,
    /// What is no text, or no line of an INF.
    pub unread: Vec<String>,
    /// Whether it is text as Windows reads it: ASCII, or UTF-16 that begins with its mark.
    pub is_text: bool,
}

#[derive(Debug)]
pub struct Section {
    pub name: String,
    pub lines: Vec<Line>,
}

/// `key = value, value`; without a key, values alone. Quotes are gone, tokens such as `%Provider%` are as they stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub key: String,
    pub values: Vec<String>,
}

impl Line {
    /// The value at a place; empty if there is none.
    pub fn at(&self, place: usize) -> &str {
        self.values.get(place).map_or("", String::as_str)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.values.join(","))
    }
}

impl Inf {
    pub fn read(bytes: &[u8]) -> Inf {
        let (text, is_text) = match bytes {
            [0xFF, 0xFE, units @ ..] => {
                let units: Vec<u16> = units.chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
                (String::from_utf16_lossy(&units), String::from_utf16(&units).is_ok())
            }
            _ => (String::from_utf8_lossy(bytes).into_owned(), bytes.is_ascii()),
        };
        let mut inf = Inf { is_text, ..Inf::default() };
        for line in text.lines() {
            inf.line(line);
        }
        inf
    }

    fn line(&mut self, line: &str) {
        let Some(parts) = split(line) else { return self.unread.push(line.to_owned()) };
        let first = parts.first().map_or("", |(part, _)| part.as_str());
        if let Some(name) = first.strip_prefix('[') {
            match name.strip_suffix(']') {
                Some(name) if parts.len() == 1 && !name.is_empty() => {
                    self.sections.push(Section { name: name.to_owned(), lines: vec![] });
                }
                _ => self.unread.push(line.to_owned()),
            }
            return;
        }
        if parts.len() == 1 && first.is_empty() {
            return;
        }
        let Some(section) = self.sections.last_mut() else { return self.unread.push(line.to_owned()) };
        let mut values: Vec<String> = parts.iter().map(|(part, _)| part.clone()).collect();
        let key = if parts[0].1 == '=' { values.remove(0) } else { String::new() };
        section.lines.push(Line { key, values });
    }

    /// The lines of a section; none if there is no such section. Names are compared without regard to case.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &Line> {
        self.sections
            .iter()
            .filter(move |section| section.name.eq_ignore_ascii_case(name))
            .flat_map(|section| &section.lines)
    }

    pub fn has(&self, name: &str) -> bool {
        self.sections.iter().any(|section| section.name.eq_ignore_ascii_case(name))
    }

    /// The first value of a directive; empty if it is not there.
    pub fn value(&self, section: &str, key: &str) -> &str {
        self.lines(section).find(|line| line.key.eq_ignore_ascii_case(key)).map_or("", |line| line.at(0))
    }

    /// A value with its tokens replaced.
    pub fn shown(&self, value: &str) -> String {
        let mut shown = String::new();
        for (token, text) in tokens(value) {
            match token {
                Some(token) => shown.push_str(self.value("Strings", token)),
                None => shown.push_str(text),
            }
        }
        shown
    }

    /// Each directive of this name, with the section that it is in.
    pub fn directives(&self, key: &str) -> impl Iterator<Item = (&Section, &Line)> {
        let lines = self.sections.iter().flat_map(|section| section.lines.iter().map(move |line| (section, line)));
        lines.filter(move |(_, line)| line.key.eq_ignore_ascii_case(key))
    }
}

/// A line without its comment, cut at its commas and its first `=`, with what each part ends at. None: a quote is open at its end.
fn split(line: &str) -> Option<Vec<(String, char)>> {
    let (mut parts, mut part, mut quoted, mut has_key) = (Vec::new(), String::new(), false, false);
    // What was quoted keeps its spaces.
    let mut kept = 0;
    let mut letters = line.trim().chars().peekable();
    let mut end = |part: &mut String, kept: &mut usize, at| {
        let text = if *kept > 0 { part.clone() } else { part.trim().to_owned() };
        parts.push((text, at));
        (*part, *kept) = (String::new(), 0);
    };
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                part.push('"');
            }
            '"' => {
                quoted = !quoted;
                if quoted && part.trim().is_empty() {
                    part.clear();
                }
                kept += 1;
            }
            _ if quoted => part.push(letter),
            ';' => break,
            '=' if !has_key => {
                has_key = true;
                end(&mut part, &mut kept, '=');
            }
            ',' => end(&mut part, &mut kept, ','),
            _ if kept > 0 && letter.is_whitespace() => {}
            _ => part.push(letter),
        }
    }
    end(&mut part, &mut kept, ';');
    (!quoted).then_some(parts)
}

/// A value's tokens, and the text between them. `%%` is a percent sign, and so is one that nothing closes.
pub fn tokens(value: &str) -> Vec<(Option<&str>, &str)> {
    let (mut found, mut rest) = (Vec::new(), value);
    while let Some((before, after)) = rest.split_once('%') {
        found.push((None, before));
        match after.split_once('%') {
            Some(("", after)) => {
                found.push((None, "%"));
                rest = after;
            }
            Some((token, after)) => {
                found.push((Some(token), token));
                rest = after;
            }
            None => {
                found.push((Some(after), after));
                rest = "";
            }
        }
    }
    found.push((None, rest));
    found
}
