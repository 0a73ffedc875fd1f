//! What a plugin may be called.
use kp_tool::Message;

/// Names that a crate of this workspace's cannot have: Rust's own crates, kp's, the folders beside, and the modules in its sources.
const TAKEN: &[&str] = &[
    "core",
    "std",
    "alloc",
    "test",
    "proc_macro",
    "app",
    "interface",
    "plugin",
    "self",
    "super",
    "crate",
    "messages",
    "model",
    "registers",
    "regs",
    "bar0",
    "bar1",
    "bar2",
    "bar3",
    "bar4",
    "bar5",
];

/// The name, if it is one that a package, a module, a device node and a service can all have.
pub fn check(name: &str) -> Result<(), Message> {
    let refuse =
        |why: &str| Err(Message::BadName { name: name.to_owned(), why: why.to_owned(), instead: instead(name) });
    let letters =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_' || letter == '-';
    if !(1..=31).contains(&name.len()) || !name.chars().all(letters) {
        return refuse("1 to 31 of a-z, 0-9, `_`, `-`");
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || name.ends_with(['-', '_']) {
        return refuse("it has to begin with a letter, and to end with one or a digit");
    }
    let word = name.replace('-', "_");
    if TAKEN.contains(&word.as_str()) || word.starts_with("kp_") || crate::registers::message_name(&word) != word {
        return refuse("this word has another meaning in Rust or in kp");
    }
    Ok(())
}

/// A name that would do, as near as can be.
fn instead(name: &str) -> String {
    let mut out = String::new();
    for letter in name.trim().to_lowercase().chars() {
        match letter {
            _ if letter.is_ascii_alphanumeric() || letter == '_' => out.push(letter),
            _ if out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    let out = out.trim_start_matches(|first: char| !first.is_ascii_lowercase());
    let out = out.strip_prefix("kp-").unwrap_or(out);
    let out: String = out.chars().take(26).collect();
    let out = out.trim_end_matches(['-', '_']);
    match out {
        "" => "card".to_owned(),
        _ if out == name => format!("{out}-card"),
        _ if check(out).is_ok() => out.to_owned(),
        _ => format!("{out}-card"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_will_not_do_comes_with_one_that_does() {
        for (name, instead) in [
            ("My Card", "my-card"),
            ("", "card"),
            ("type", "type-card"),
            ("plugin", "plugin-card"),
            ("kp-card", "card"),
            ("model", "model-card"),
            ("registers", "registers-card"),
            ("regs", "regs-card"),
            ("bar0", "bar0-card"),
            ("2fast", "fast"),
            ("card-", "card"),
            ("Größe", "gr-e"),
            ("a-name-that-is-much-longer-than-a-service-can-be", "a-name-that-is-much-longer"),
        ] {
            let refused = check(name).expect_err(name);
            assert!(matches!(&refused, Message::BadName { instead: other, .. } if other == instead), "{refused}");
        }
        for name in ["card", "my-card", "card_2", "x"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }
}
