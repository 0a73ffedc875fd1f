//! Patterns of log lines.

/// Whether `text` fits `pattern`, in which each `*` stands for any run of characters, even none.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::fits;

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
}
