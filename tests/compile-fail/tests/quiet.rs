//! An author's own crate gets no warning for what our macros write in it.
use compile_fail::{Compiler, names};
use std::path::Path;

/// What a careful author asks for, and this repository itself.
const LINTS: [&str; 9] = [
    "-Wmissing_docs",
    "-Wunreachable_pub",
    "-Wunused_qualifications",
    "-Wrust_2018_idioms",
    "-Wunused_lifetimes",
    "-Wclippy::all",
    "-Wclippy::pedantic",
    "-Wclippy::undocumented_unsafe_blocks",
    "-Wclippy::multiple_unsafe_ops_per_block",
];

#[test]
fn no_macro_warns_in_its_users_crate() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("quiet");
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let compiler = Compiler::prepare();
    let crates = names(&dir);
    assert!(crates.len() >= 5, "{crates:?}");
    let mut said = String::new();
    for name in &crates {
        for edition in ["2021", "2024"] {
            said += &compiler.lint(&dir, name, edition, &LINTS, scratch);
        }
    }
    assert!(said.is_empty(), "{said}");
}
