//! Where the text of a file comes from: the disk, or a test's own small texts.
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Finds the text of a file.
pub(crate) trait Source {
    /// None: there is no such file.
    fn text(&self, path: &Path) -> Option<String>;
}

/// A crate's folder on the disk. Paths are below it.
pub(crate) struct Disk(pub(crate) PathBuf);

impl Source for Disk {
    fn text(&self, path: &Path) -> Option<String> {
        fs::read_to_string(self.0.join(path)).ok()
    }
}

/// `a/b/../c` as `a/c`, for what `#[path]` says.
pub(crate) fn simplified(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = parts.pop(),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}
