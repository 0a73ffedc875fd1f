//! Plugins, examples and the wire have no unsafe code: each of their crates forbids it. A crate around C code is the exception, and
//! only where C is: it denies unsafe code, and one module of it is let off.
use house::{repository, words::files};
use std::fs;

/// Where plugins, apps and the wire are.
const FOLDERS: [&str; 3] = ["examples", "kp-abi", "tests/plugins"];
/// The crates around C code, each with the one file that may have unsafe code.
const AROUND_C: [(&str, &str); 2] =
    [("examples/selftest/c/src/lib.rs", "c.rs"), ("tests/plugins/c-code/c/src/lib.rs", "c.rs")];

#[test]
fn every_crate_of_plugins_and_apps_forbids_unsafe_code_but_those_around_c() {
    let root = repository("");
    let mut crates = 0;
    for path in FOLDERS.into_iter().flat_map(|folder| files(&root.join(folder))) {
        let name = path.strip_prefix(&root).expect("below the root").display().to_string();
        if !name.ends_with("src/lib.rs") && !name.ends_with("src/main.rs") {
            continue;
        }
        crates += 1;
        let text = fs::read_to_string(&path).expect("a crate's root can be read");
        let Some((_, file)) = AROUND_C.iter().find(|(around, _)| *around == name) else {
            assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "{name} does not forbid unsafe code");
            continue;
        };
        assert!(text.contains("\n#![deny(unsafe_code)]\n"), "{name} does not deny unsafe code");
        let excepted: Vec<&str> =
            text.lines().skip_while(|line| !line.contains("expect(unsafe_code")).skip(1).collect();
        let module = file.strip_suffix(".rs").expect("a file of Rust");
        assert_eq!(excepted.first(), Some(&format!("mod {module};").as_str()), "{name}: {file} alone is let off");
        assert_eq!(text.matches("unsafe_code").count(), 2, "{name} lets off more than {file}");
        let build = path.with_file_name("../build.rs");
        assert!(build.exists(), "{name}: there is no C code around which it could be");
    }
    assert!(crates > 15, "only {crates} crates were found");
}
