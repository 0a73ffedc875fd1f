//! Names: a schema's are Rust's, and each language has words of its own.
use std::collections::BTreeSet;

/// What is called so already in one scope. A name is given out once.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// A scope in which these are taken: the language's keywords, and what stands there anyway.
    pub fn without<'a>(taken: impl IntoIterator<Item = &'a str>) -> Self {
        Names(taken.into_iter().map(str::to_owned).collect())
    }

    /// The name that was wanted if it is free; else with `_` behind it, or a number. The same requests in the same order get the same names.
    pub fn give(&mut self, wanted: &str) -> String {
        let more = (2..).map(|number| format!("{wanted}_{number}"));
        let mut names = [wanted.to_owned(), format!("{wanted}_")].into_iter().chain(more);
        // Each number makes another name, so one is free.
        names.find(|name| self.0.insert(name.clone())).unwrap_or_default()
    }
}

/// A name of letters, digits and `_` as every language takes it, which does not begin with a digit: `r#type` is `type`.
#[must_use]
pub fn ascii(name: &str) -> String {
    let name = name.strip_prefix("r#").unwrap_or(name);
    let letters = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' });
    let name: String = letters.collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() { format!("_{name}") } else { name }
}

/// `LongName` and `LONG_NAME` are `long_name`, and `_0` is `x0`. No `_` at either end, nor two behind each other: C++ has such names for itself.
#[must_use]
pub fn snake(name: &str) -> String {
    let name = part(name);
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("x{name}") } else { name }
}

/// The same behind a prefix, where it may begin with a digit.
#[must_use]
pub fn part(name: &str) -> String {
    let letters: Vec<char> = ascii(name).chars().collect();
    let mut out = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        // `IRQStatus` is two words, and so is `irqStatus`.
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit() && after.is_some_and(char::is_ascii_lowercase)
                    || before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase)
            });
        if (begins || letter == '_') && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        if letter != '_' {
            out.push(letter.to_ascii_lowercase());
        }
    }
    match out.trim_end_matches('_') {
        "" => "x".to_owned(),
        name => name.to_owned(),
    }
}

/// `LongName` and `long_name` are `LONG_NAME`, and `_10G` is `X10G`.
#[must_use]
pub fn screaming(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}

/// The same behind a prefix, where it may begin with a digit.
#[must_use]
pub fn screaming_part(name: &str) -> String {
    part(name).to_ascii_uppercase()
}

/// `LONG_NAME` and `long_name` are `LongName`; what has letters of both kinds stays as it is.
#[must_use]
pub fn pascal(name: &str) -> String {
    let mut out = String::new();
    for word in snake(name).split('_') {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

/// Keywords of C (to C23) and of C++ (to C++20), and what the standard's headers define beside.
pub const C_AND_CPP: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "errno",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "linux",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "union",
    "unix",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
    "assert",
    "offsetof",
    "stdin",
    "stdout",
    "stderr",
    "near",
    "far",
    "small",
    "interface",
    "i386",
    "NULL",
    "EOF",
    "ERROR",
    "TRUE",
    "FALSE",
    "IN",
    "OUT",
    "OPTIONAL",
    "CONST",
    "VOID",
    "DELETE",
    "std",
    "kp",
];

/// Keywords of Python (to 3.14), those that are keywords in some places too.
pub const PYTHON: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "case", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "match",
    "nonlocal", "not", "or", "pass", "raise", "return", "try", "type", "while", "with", "yield",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_out_once() {
        let mut names = Names::without(["class", "open"]);
        let given = ["text", "class", "text", "text", "open_"].map(|name| names.give(name));
        assert_eq!(given, ["text", "class_", "text_", "text_2", "open_"]);
    }

    #[test]
    fn names_are_those_of_the_language() {
        for (name, snake_name, pascal_name) in [
            ("Style", "style", "Style"),
            ("LONG_NAME", "long_name", "LongName"),
            ("IRQStatus", "irq_status", "IrqStatus"),
            ("Said2", "said2", "Said2"),
            ("Größe0", "gr_e0", "GrE0"),
            ("r#type7", "type7", "Type7"),
            ("_pad", "pad", "Pad"),
            ("__", "x", "X"),
            ("2x", "x2x", "X2x"),
            ("_0", "x0", "X0"),
        ] {
            assert_eq!((snake(name).as_str(), pascal(name).as_str()), (snake_name, pascal_name), "{name}");
        }
        assert_eq!((screaming("BarTooShort"), ascii("a::B")), ("BAR_TOO_SHORT".to_owned(), "a__B".to_owned()));
        assert_eq!(
            (screaming("_10G"), screaming_part("_10G"), ascii("_10G")),
            ("X10G".into(), "10G".into(), "_10G".into())
        );
    }
}
