//! The pages that show the ticker show this one.
#![forbid(unsafe_code)]

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_readme_shows_this_plugin() {
    let source = read("src/lib.rs");
    let readme = read("../../README.md");
    let block = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Rust");
    let (_says_what_it_is, source) = source.split_once('\n').expect("more than one line");
    assert_eq!(block, source);
}

#[test]
fn kp_cores_page_shows_this_plugin() {
    let source = read("src/lib.rs");
    let (_says_what_it_is, source) = source.split_once('\n').expect("more than one line");
    let page = read("../../kp-core/src/lib.rs");
    let shown =
        page.lines().filter_map(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line));
    let shown: String = shown.filter(|line| !line.starts_with("# ")).map(|line| format!("{line}\n")).collect();
    assert!(shown.contains(source), "kp-core/src/lib.rs does not show examples/ticker/src/lib.rs");
}

#[test]
fn the_simulators_page_shows_this_model() {
    let page = read("../../kp-sim/src/device.rs");
    let shown: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let model = read("tests/card.rs");
    let model =
        model.split_once("#[derive(Default)]").and_then(|(_, rest)| rest.split_once("#[test]")).expect("a model").0;
    for line in model.lines().map(str::trim) {
        assert!(shown.contains(&line), "kp-sim/src/device.rs does not show this line of tests/card.rs:\n{line}");
    }
}
