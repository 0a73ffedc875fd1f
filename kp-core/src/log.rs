//! `log!`: one line in the kernel's log.
#![deny(unsafe_code)]
use crate::host::{LogLine, kernel};
use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Writes one line to the kernel's log: `log!("{} of {}", a, b)`. Any level; neither allocates nor fails.
///
/// Text with arguments is cut after 160 bytes. It runs `core::fmt`, and the arguments' own formatting: a release build of a
/// plugin is refused if `int_at_irql` or `int_at_dpc` can reach a panic that way. Text without arguments is always fine there.
///
/// An app or a device can bring a line about as often as it likes, so each place in the source writes at most ten within five seconds, and
/// then says how many it has left out. The simulator leaves none out.
#[macro_export]
macro_rules! log {
    ($not_text:ident, $($text:tt)*) => {
        ::core::compile_error!("`log!` takes neither `cx` nor a level, and works at any: write `log!(\"…\", …)`")
    };
    ($($text:tt)*) => {{
        static PLACE: $crate::__LogPlace = $crate::__LogPlace::new();
        $crate::__log(&PLACE, ::core::format_args!($($text)*))
    }};
}

/// Longest line of text with arguments, in bytes.
const LINE: usize = 160;

/// Lines of one place within [`WINDOW`].
const BURST: u32 = 10;
/// In units of 2^20 ns, about a millisecond: five seconds.
const WINDOW: u32 = 4768;

/// A place in the source that writes lines, and how many it has written lately.
#[doc(hidden)]
pub struct Place {
    /// When the window began, and 1, so that it is never 0; 0: nothing was written yet.
    since: AtomicU32,
    /// Lines that were to be written since then.
    lines: AtomicU32,
}

impl Place {
    #[doc(hidden)]
    pub const fn new() -> Self {
        Self { since: AtomicU32::new(0), lines: AtomicU32::new(0) }
    }

    /// May one more line be written? If so, how many were not, just before.
    #[cfg_attr(kp_driver, optimize(size))]
    fn admit(&self, now_ns: u64) -> Option<u32> {
        let now = (now_ns >> 20) as u32 | 1;
        let since = self.since.load(Relaxed);
        let is_over = since == 0 || now.wrapping_sub(since) >= WINDOW;
        // Of those who see at once that it is over, one begins the next.
        if is_over && self.since.compare_exchange(since, now, Relaxed, Relaxed).is_ok() {
            return Some(self.lines.swap(1, Relaxed).saturating_sub(BURST));
        }
        (self.lines.fetch_add(1, Relaxed) < BURST).then_some(0)
    }

    /// As `admit`; what was left out is said first.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    fn is_quiet_enough(&self) -> bool {
        let left_out = self.admit(kernel::now_ns());
        if let Some(more @ 1..) = left_out {
            let mut line = LogLine::<LINE>::new();
            line.push_number(more);
            line.push(" lines like the next were left out");
            kernel::log(line.text());
        }
        left_out.is_some()
    }
}

#[doc(hidden)]
#[inline(always)]
pub fn write(place: &Place, text: fmt::Arguments<'_>) {
    if kernel::log_is_limited() && !place.is_quiet_enough() {
        return;
    }
    // The compiler sees which it is, so that plain text leaves no trace of core::fmt.
    match text.as_str() {
        Some(text) => kernel::log(text),
        None => write_formatted(text),
    }
}

#[inline(never)]
fn write_formatted(text: fmt::Arguments<'_>) {
    let mut line = LogLine::<LINE>::new();
    // An error only says that the line is full, or that an argument's own formatting gave up.
    let _ = fmt::write(&mut line, text);
    kernel::log(line.text());
}

/// Writes one line made of parts, without core::fmt.
#[cfg_attr(kp_driver, optimize(size))]
pub(crate) fn parts(parts: &[&str]) {
    let mut line = LogLine::<LINE>::new();
    let _ = parts.iter().all(|part| line.push(part));
    kernel::log(line.text());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_place_writes_ten_lines_in_five_seconds() {
        let place = Place::new();
        for start in [0, 7 * SECOND, (1 << 52) - SECOND, (1 << 52) + 9 * SECOND] {
            assert!(place.admit(start).is_some());
            assert!((1..10).all(|at| place.admit(start + at) == Some(0)), "ten lines of a window are written");
            assert!((0..7).all(|at| place.admit(start + at * SECOND / 2).is_none()), "and no more");
        }
    }

    #[test]
    fn what_was_left_out_is_said_once() {
        let place = Place::new();
        (0..15).for_each(|at| _ = place.admit(SECOND + at));
        assert_eq!(place.admit(7 * SECOND), Some(5));
        assert_eq!(place.admit(7 * SECOND), Some(0));
        assert_eq!(place.admit(14 * SECOND), Some(0), "two lines were fewer than the limit");
    }
}
