//! One line of the log being written. Not core::fmt: that costs more code than all of a small plugin.
use core::fmt;
use kp_abi::Error;

/// One line being written: cut after `LEN` bytes, between characters, and with no line end in it. For ports that log a panic
/// themselves. INVARIANT: the first `len` bytes are UTF-8.
pub struct LogLine<const LEN: usize> {
    bytes: [u8; LEN],
    len: usize,
}

#[expect(clippy::new_without_default, reason = "not a value to have lying about")]
impl<const LEN: usize> LogLine<LEN> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { bytes: [0; LEN], len: 0 }
    }

    /// Adds text. False: the line is full, and this was cut.
    pub fn push(&mut self, text: &str) -> bool {
        push(&mut self.bytes, &mut self.len, text)
    }

    /// Adds a number, in decimal. False: the line is full.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn push_number(&mut self, number: u32) -> bool {
        let mut digits = [0; 10];
        self.push(decimal(number, &mut digits))
    }

    /// Adds an error as its `Display` writes it. False: the line is full.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn push_error(&mut self, error: Error) -> bool {
        let row = error.status.row();
        self.push(row.map_or("Status ", |row| row.name))
            && (row.is_some() || self.push_number(error.status.0))
            && (error.detail == 0 || self.push(" (") && self.push_number(error.detail) && self.push(")"))
    }

    /// What was written.
    pub fn text(&self) -> &str {
        let written = self.bytes.get(..self.len).unwrap_or(&[]);
        // SAFETY: the invariant.
        unsafe { core::str::from_utf8_unchecked(written) }
    }
}

impl<const LEN: usize> fmt::Write for LogLine<LEN> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.push(text) { Ok(()) } else { Err(fmt::Error) }
    }
    fn write_char(&mut self, character: char) -> fmt::Result {
        self.write_str(character.encode_utf8(&mut [0; 4]))
    }
}

/// The lead byte of U+0080 to U+00BF, whose first half are control characters.
const LATIN_1: u8 = 0xC2;

/// Writes `text` behind the first `len` of `bytes`. A line stays one: what an app says must not look like the kernel's own next
/// line, so control characters become spaces.
#[cfg_attr(kp_driver, optimize(size))]
#[inline(never)]
fn push(bytes: &mut [u8], len: &mut usize, text: &str) -> bool {
    let mut last = 0;
    for &byte in text.as_bytes() {
        let Some(place) = bytes.get_mut(*len) else {
            // Not half of a character.
            while is_inside(byte) && *len > 0 {
                *len -= 1;
                if bytes.get(*len).is_some_and(|&byte| !is_inside(byte)) {
                    break;
                }
            }
            return false;
        };
        let hidden = byte < b' ' || byte == 0x7F || last == LATIN_1 && byte < 0xA0;
        *place = if hidden { b' ' } else { byte };
        if last == LATIN_1
            && hidden
            && let Some(lead) = len.checked_sub(1).and_then(|at| bytes.get_mut(at))
        {
            *lead = b' ';
        }
        last = byte;
        *len += 1;
    }
    true
}

/// Is it a byte of a character, but not the first?
fn is_inside(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

#[cfg_attr(kp_driver, optimize(size))]
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &str {
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        at -= 1;
        if number == 0 {
            break;
        }
    }
    // SAFETY: digits.
    unsafe { core::str::from_utf8_unchecked(digits.get(at..).unwrap_or(&[])) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;
    use std::{format, string::ToString};

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut line = LogLine::<160>::new();
        assert!(write!(line, "x{}tail", "\u{20ac}".repeat(100)).is_err());
        assert_eq!(line.text().len(), 160);
        assert_eq!(line.text().chars().count(), 1 + 53);
        assert!(!line.text().contains("tail"));
        for room in 0..8 {
            let text = "a\u{e9}\u{20ac}\u{1f600}";
            let mut line = LogLine::<16>::new();
            assert!(line.push(&"-".repeat(16 - room)));
            line.push(text);
            let kept = line.text().strip_prefix(&*"-".repeat(16 - room)).unwrap();
            assert!(text.starts_with(kept) && core::str::from_utf8(line.text().as_bytes()).is_ok(), "{room}: {kept}");
            assert!(room - kept.len() < 4);
        }
    }

    #[test]
    fn control_characters_become_spaces() {
        let mut line = LogLine::<64>::new();
        assert!(line.push("a\n\u{7f}\u{85}\u{9f}\u{a0}\u{e9}b"));
        assert_eq!(line.text(), "a      \u{a0}\u{e9}b");
        assert!(core::str::from_utf8(line.text().as_bytes()).is_ok());
    }

    #[test]
    fn numbers_and_errors_read_as_they_display() {
        for number in [0, 7, 10, 4_294_967_295] {
            let mut line = LogLine::<16>::new();
            assert!(line.push_number(number));
            assert_eq!(line.text(), number.to_string());
        }
        for error in [Error::from(kp_abi::Status::NO_MEMORY), Error::plugin(7)] {
            let mut line = LogLine::<64>::new();
            assert!(line.push_error(error));
            assert_eq!(line.text(), format!("{error}"));
        }
    }
}
