//! `docs/loader.md` shows the test that runs here.
use std::{fs, path::Path};

fn here(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_page_shows_the_test_of_a_driver_of_ones_own() {
    let page = here("../../docs/loader.md");
    let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Rust");
    assert!(shown == here("tests/own_driver.rs"), "docs/loader.md does not show tests/own_driver.rs");
}
