//! The field's words: no private word is left where kernel engineers have one. The list is `words.toml`.
use house::{
    repository,
    words::{Words, files},
};
use std::fs;

/// Where the words are looked for.
const FOLDERS: [&str; 12] = [
    "benches",
    "cargo-kp",
    "docs",
    "examples",
    "kp-abi",
    "kp-core",
    "kp-linux",
    "kp-sim",
    "kp-tool",
    "kp-user",
    "kp-windows",
    "tests",
];

#[test]
fn no_private_word_is_used() {
    let list = fs::read_to_string(repository("tests/house/words.toml")).expect("the list is there");
    let words = Words::parse(&list).unwrap_or_else(|error| panic!("words.toml: {error}"));
    let root = repository("");
    let mut found = Vec::new();
    for path in FOLDERS.into_iter().flat_map(|folder| files(&root.join(folder))) {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.strip_prefix(&root).expect("below the root").display().to_string();
        found.extend(words.find(&name, &text));
    }
    assert!(found.is_empty(), "{} words:\n{}", found.len(), found.join("\n"));
}
