//! One source for every kernel: what the examples' crates are made of depends on no target, and has no unsafe code.
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The crates of each example.
const CRATES: [&str; 3] = ["interface", "plugin", "app"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn folder(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All source files below a folder.
fn sources(path: &Path) -> Vec<PathBuf> {
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = folder(path).into_iter().partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|path| sources(path))).collect()
}

/// What a source file must not have, as file and line.
fn wrong(path: &Path, text: &str) -> Vec<String> {
    let is_wrong = |line: &str| {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        // All that asks for the target begins so: cfg, cfg_attr, cfg_select.
        words.any(|word| word == "unsafe" || word.starts_with("cfg"))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| is_wrong(line));
    lines.map(|(at, line)| format!("{}:{}: {line}", path.display(), at + 1)).collect()
}

#[test]
fn the_examples_crates_are_the_same_for_every_kernel() {
    let (mut found, mut seen) = (Vec::new(), 0);
    for example in folder(&examples()).into_iter().filter(|example| example.join("plugin").is_dir()) {
        for path in CRATES.map(|name| example.join(name)) {
            let files = sources(&path.join("src"));
            let root = read(&path.join("src/lib.rs"));
            assert!(root.contains("\n#![forbid(unsafe_code)]\n"), "{}: unsafe code is not forbidden", path.display());
            found.extend(files.iter().flat_map(|file| wrong(file, &read(file))));
            seen += files.len();
            let manifest = read(&path.join("Cargo.toml"));
            assert!(!manifest.contains("[target"), "{}: what it needs depends on the target", path.display());
            assert!(!path.join("build.rs").exists(), "{}: a build script could know the target", path.display());
        }
    }
    assert!(found.is_empty(), "depends on the target, or is unsafe:\n{}", found.join("\n"));
    assert!(seen >= 8, "{seen} files");
}

#[test]
fn what_depends_on_the_target_is_found() {
    let found = |line: &str| !wrong(Path::new("x.rs"), line).is_empty();
    for line in [
        "#[cfg(windows)]",
        "    if cfg!(unix) {",
        "#[cfg_attr(windows, path = \"x\")]",
        "unsafe { f() }",
        "let x = unsafe{1};",
    ] {
        assert!(found(line), "{line}");
    }
    for line in ["#![forbid(unsafe_code)]", "let config = 1;", "// unsafe, cfg(windows)", "let safe = x_cfg;"] {
        assert!(!found(line), "{line}");
    }
}
