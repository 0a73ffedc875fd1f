//! What must not compile, and what its author sees.
//!
//! Every `ui/*.rs` is a case: it must fail to compile. What it must fail with is written down twice.
//!
//! - `ui/EXPECT`, for any compiler: the codes and lines of the errors, and the sentences that this project's own attributes and
//!   macros put into them.
//! - `ui/*.stderr`, for the compiler named in `ui/COMPILER`: all of the text.
//!
//! What is right must be quiet too: `quiet/*.rs` are crates as authors write them, with all forms of the macros, of which neither the
//! compiler nor clippy may have a word to say.
//!
//! `KP_BLESS=1 cargo test -p compile-fail` writes both anew, and `ui/COMPILER`; the sentences are kept, they are written by hand.
mod compile;
mod expect;
mod normal;

pub use compile::{Compiler, Outcome};
pub use expect::{Expectation, read_expectations, write_expectations};
pub use normal::normal;

use std::path::{Path, PathBuf};

/// The folder of the cases.
pub fn cases_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")
}

/// The names of the cases, in order.
pub fn cases() -> Vec<String> {
    names(&cases_dir())
}

/// The names of the files of Rust in a folder, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = files
        .map(|file| PathBuf::from(file.expect("a readable folder").file_name()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .map(|file| file.with_extension("").display().to_string())
        .collect();
    names.sort();
    names
}
