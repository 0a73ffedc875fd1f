//! No import circle among the files of a folder: a file can be read with nothing but what it imports in mind.
//!
//! An import is a `use`, or a path that begins with `crate`, `super`, `self`, or a module's name. What `mod.rs` passes on from a
//! child counts as the child's; `mod.rs` itself counts when it has code of its own. `#[cfg(test)]` does not count.
//!
//! What this does not see: calls among the files over which one type's `impl` is spread. Such a folder's `mod.rs` says which file may call
//! which.
use house::{Circle, Imports, repository};

/// Where there must be none: the crate, and the folder in it.
const FOLDERS: &[(&str, &str)] =
    &[("kp-sim", "src"), ("kp-user", "src"), ("kp-tool", "src"), ("kp-core", "src/host"), ("kp-windows", "src")];

/// Circles that may be, as lists of their files. None is.
const ALLOWED: &[&[&str]] = &[];

fn circles(name: &str, folder: &str) -> Vec<Circle> {
    Imports::of_crate(&repository(name)).circles(folder)
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (name, folder) in FOLDERS {
        let found: Vec<String> = circles(name, folder)
            .into_iter()
            .filter(|circle| !ALLOWED.contains(&circle.files.iter().map(String::as_str).collect::<Vec<_>>().as_slice()))
            .map(|circle| circle.to_string())
            .collect();
        assert!(found.is_empty(), "{name}: {}", found.join("\n"));
    }
}

#[test]
fn the_list_of_allowed_circles_is_empty() {
    assert!(ALLOWED.is_empty());
}
