//! `log!`: one line in the kernel's log.
use crate::host::{Line, kernel};
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

/// Writes one line made of parts, without core::fmt.
#[cfg_attr(kp_driver, optimize(size))]
pub(crate) fn parts(parts: &[&str]) {
    let mut line = Line::<LINE>::new();
    let _ = parts.iter().all(|part| line.push(part));
    kernel::log(line.text());
}
