//! The crate's page names all that a plugin's author writes.

/// What authors need no name for: macros write it, or what bounds name.
const UNWRITTEN: [&str; 20] = [
    "Array",
    "AtMost",
    "BarSpace",
    "Blocks",
    "Ceiling",
    "IntTable",
    "Level",
    "MatchId",
    "Mmio",
    "Plugin",
    "PoolBox",
    "Readable",
    "Register",
    "RegisterMap",
    "Result",
    "Single",
    "Space",
    "Table",
    "Width",
    "Writable",
];

#[test]
fn all_that_authors_write_is_named_on_the_front_page() {
    let source = include_str!("../src/lib.rs");
    let (page, code) = source.split_once("#![no_std]\n#![cfg_attr").expect("the page comes first");
    let (code, _of_macros) = code.split_once("pub mod __plugin").expect("what macros write comes last");
    let public = code.split("pub use ").skip(1).map(|rest| rest.split(';').next().expect("a use ends"));
    let names: Vec<&str> = public
        .filter(|used| !used.contains("__"))
        .flat_map(|used| used.split(|character: char| !character.is_alphanumeric()))
        .filter(|name| name.starts_with(char::is_uppercase))
        .chain(["log!", "plugin!", "registers!", "interface!", "wire!"])
        .collect();
    assert!(names.len() > 40, "{names:?}");
    let is_named = |name: &str| page.contains(&format!("[`{name}")) || page.contains(&format!("::{name}`]"));
    let missing: Vec<_> = names.iter().filter(|name| !UNWRITTEN.contains(name) && !is_named(name)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}
