//! `log!`: one line in the kernel's log.
use crate::host::kernel;
use core::fmt;

/// Writes one line to the kernel's log: `log!("{} of {}", a, b)`. Any level; neither allocates nor fails.
///
/// Text with arguments is cut after 160 bytes. It runs `core::fmt`, and the arguments' own formatting: a release build of a
/// plugin is refused if `int_at_irql` or `int_at_dpc` can reach a panic that way. Text without arguments is always fine there.
#[macro_export]
macro_rules! log {
    ($($text:tt)*) => {
        $crate::__log(::core::format_args!($($text)*))
    };
}

/// Longest line of text with arguments, in bytes.
const LINE: usize = 160;

#[doc(hidden)]
#[inline(always)]
pub fn write(text: fmt::Arguments<'_>) {
    // The compiler sees which it is, so that plain text leaves no trace of core::fmt.
    match text.as_str() {
        Some(text) => kernel::log(text),
        None => write_formatted(text),
    }
}

#[inline(never)]
fn write_formatted(text: fmt::Arguments<'_>) {
    let mut line = Line::<LINE>::new();
    // An error only says that the line is full, or that an argument's own formatting gave up.
    let _ = fmt::write(&mut line, text);
    kernel::log(line.text());
}

/// One line being written: cut after `LEN` bytes, between characters, and with no line end in it. For ports that log a panic
/// themselves. INVARIANT: the first `len` bytes are UTF-8.
pub struct Line<const LEN: usize> {
    bytes: [u8; LEN],
    len: usize,
}

#[expect(clippy::new_without_default, reason = "not a value to have lying about")]
impl<const LEN: usize> Line<LEN> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { bytes: [0; LEN], len: 0 }
    }

    /// What was written.
    pub fn text(&self) -> &str {
        let written = self.bytes.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(written).unwrap_or("")
    }
}

impl<const LEN: usize> fmt::Write for Line<LEN> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut encoded = [0; 4];
        for character in text.chars() {
            // A line stays one: what an app says must not look like the kernel's own next line.
            let character = if character.is_control() { ' ' } else { character };
            let bytes = character.encode_utf8(&mut encoded).as_bytes();
            let room = self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len()));
            room.ok_or(fmt::Error)?.copy_from_slice(bytes);
            self.len += bytes.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut line = Line { bytes: [0; LINE], len: 0 };
        assert!(write!(line, "x{}tail", "\u{20ac}".repeat(100)).is_err());
        assert_eq!(line.text().len(), 160);
        assert_eq!(line.text().chars().count(), 1 + 53);
        assert!(!line.text().contains("tail"));
    }
}
