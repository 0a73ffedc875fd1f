//! The workspace of `docs/plugin.md` is whole: its files, as the page has them, build outside of this repository and pass their tests.
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// The files that the page shows, by path: each has its path in a line of its own, and then a block.
fn files(page: &str) -> BTreeMap<&str, String> {
    let mut files = BTreeMap::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(path) = line.strip_prefix('`').and_then(|line| line.strip_suffix("`:")) else { continue };
        let block = lines.by_ref().skip_while(|line| !line.starts_with("```")).skip(1);
        let text = block.take_while(|line| !line.starts_with("```")).map(|line| format!("{line}\n")).collect();
        assert!(files.insert(path, text).is_none(), "{path} is there twice");
    }
    files
}

#[test]
fn the_workspace_of_the_plugin_page_passes_its_tests() {
    let repository = repository();
    let page = fs::read_to_string(repository.join("docs/plugin.md")).expect("the page");
    let files = files(&page);
    assert_eq!(files.len(), 10, "{:?}", files.keys());
    let folder = tempfile::TempDir::with_prefix("kp-").expect("a folder can be made");
    let folder = folder.path();
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        let root = format!("\"{}/", repository.display());
        fs::write(path, text.replace("\"../kp/", &root)).expect("a file can be written");
    }
    // The versions are those that are here already.
    fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock")).expect("a file can be written");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--offline", "--quiet"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", repository.join("target"))
        .output()
        .expect("cargo can be started");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    assert_eq!(said.matches("1 passed").count(), 2, "the plugin's test, and that of ports: {said}");
}
