//! Names of registers and messages in Rust, made of a file's own; and numbers.

/// Rust's keywords that a message could be called by.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// What a register is called in Rust: `IRQ STATUS` is `IRQ_STATUS`. `None` if nothing is left of it.
#[must_use]
pub fn register_name(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut last = None::<char>;
    for letter in name.trim().chars() {
        // `irqStatus` is two words, `IRQStatus` as well as can be told.
        let begins_word = letter.is_ascii_uppercase() && last.is_some_and(|last| last.is_ascii_lowercase());
        if begins_word && !out.ends_with('_') {
            out.push('_');
        }
        match letter {
            _ if letter.is_ascii_alphanumeric() => out.push(letter.to_ascii_uppercase()),
            _ if out.is_empty() || out.ends_with('_') => {}
            _ => out.push('_'),
        }
        last = Some(letter);
    }
    let out = out.trim_end_matches('_');
    match out.chars().next() {
        None => None,
        Some(first) if first.is_ascii_digit() => Some(format!("R_{out}")),
        Some(_) => Some(out.to_owned()),
    }
}

/// What the message that reads a register is called: `IRQ_STATUS` is `irq_status`.
#[must_use]
pub fn message_name(register: &str) -> String {
    let name = register.to_ascii_lowercase();
    if KEYWORDS.contains(&name.as_str()) { name + "_" } else { name }
}

/// A number as C and Rust write it.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_rusts() {
        for (name, rust) in [
            ("IRQ STATUS", "IRQ_STATUS"),
            ("irqStatus", "IRQ_STATUS"),
            (" int-ack[0] ", "INT_ACK_0"),
            ("2x", "R_2X"),
            ("ID", "ID"),
            ("__a__", "A"),
            ("Größe", "GR_E"),
        ] {
            assert_eq!(register_name(name).as_deref(), Some(rust), "{name}");
        }
        assert_eq!(register_name(" §!"), None);
        assert_eq!((message_name("TYPE"), message_name("IRQ_ACK")), ("type_".to_owned(), "irq_ack".to_owned()));
    }
}
