//! Patterns of log lines.

/// Whether `text` fits `pattern`, in which each `*` stands for any run of characters, even none.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    // `split` always gives a first part; it has to be the beginning.
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// Whether a text that fits `pattern` can begin with `text`. A star in front does not count: with it everything would.
pub fn begins(pattern: &str, text: &str) -> bool {
    let pattern = pattern.trim_start_matches('*');
    match pattern.split_once('*') {
        Some((first, _)) => text.starts_with(first) || first.starts_with(text),
        None => pattern.starts_with(text),
    }
}

#[cfg(test)]
mod tests {
    use super::{begins, fits};

    #[test]
    fn a_pattern_without_stars_is_the_line_itself() {
        assert!(fits("kp_edu: up", "kp_edu: up"));
        assert!(!fits("kp_edu: up", "kp_edu: up again"));
        assert!(!fits("kp_edu: up", "a kp_edu: up"));
    }

    #[test]
    fn stars_stand_for_anything_between() {
        assert!(fits("*: loading*kernel.", "x: loading out-of-tree module taints kernel."));
        assert!(fits("a*b*c", "abbc"));
        assert!(fits("a*", "a"));
        assert!(!fits("a*b*c", "acb"));
        assert!(!fits("ab*bc", "abc"), "parts don't share characters");
    }

    #[test]
    fn a_line_cut_off_anywhere_is_the_beginning_of_itself() {
        for pattern in ["x.rs:7:*: index is 4", "*x.rs:7:*: index is 4"] {
            let whole = "x.rs:7:32: index is 4";
            assert!((0..=whole.len()).all(|end| begins(pattern, &whole[..end])));
            assert!(!begins(pattern, "x.rs:8:32: index is 4"));
            assert!(!begins(pattern, "y"));
        }
        assert!(begins("kp_edu: up", "kp_edu"));
        assert!(!begins("kp_edu: up", "kp_edu: up again"));
    }
}
