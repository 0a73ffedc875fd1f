//! What the sources hold themselves to. The rules are in `tests/`, a file each, with their lists beside them:
//!
//! - `tests/circles.rs`: no import circle among the files of a folder.
//! - `tests/links.rs`: the pages' links lead somewhere.
//! - `tests/unsafe_code.rs`: no unsafe code in plugins, apps and the wire, and where C code is the exception.
//! - `tests/words.rs`: no private word where the field has one; `words.toml` is the list.
//!
//! The readers are here, and are tested on small texts. It is a crate of its own, since it reads every crate and belongs to none,
//! and since it must build in seconds.
mod graph;
mod module;
mod resolve;
mod source;
pub mod words;

pub use graph::{Circle, Imports};

use std::path::{Path, PathBuf};

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
