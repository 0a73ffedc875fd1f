//! The command: where its files are, what a check says, what is refused.
use crate::{examples, folder::Folder};
use kp_tool::schema::Schema;

/// A folder with echo's schema, and edu's, under echo's name.
fn with_schemas() -> (Folder, [Schema; 3]) {
    let folder = Folder::new();
    let schemas = examples();
    folder.write("echo.json", &schemas[0].to_json());
    folder.write("edu.json", &schemas[1].to_json());
    (folder, schemas)
}

#[test]
fn bindings_are_written_and_a_check_tells_what_has_changed() {
    let (folder, [echo, edu, _]) = with_schemas();
    let written = folder.kp("--schema echo.json --lang cpp --out apps");
    assert_eq!(written, (Some(0), "apps/echo.h: written\napps/echo.hpp: written\n".into(), String::new()));
    let check = "--schema echo.json --lang cpp --out apps --check";
    let fresh = folder.kp(check);
    assert_eq!(fresh, (Some(0), "apps/echo.h: up to date\napps/echo.hpp: up to date\n".into(), String::new()));
    let text = folder.read("apps/echo.hpp");

    // A checkout with other ends of lines is no other text.
    folder.write("apps/echo.hpp", &text.replace('\n', "\r\n"));
    assert_eq!(folder.kp(check).0, Some(0));

    let again = "`cargo kp bindings --schema echo.json --lang cpp --out apps`";
    let stale = |text: &str| {
        folder.write("apps/echo.hpp", text);
        let (code, said, error) = folder.kp(check);
        assert_eq!((code, said.as_str()), (Some(1), ""));
        assert_eq!(folder.read("apps/echo.hpp"), text, "a check writes nothing");
        error
    };
    let edited = stale(&text.replace("class device", "class  device"));
    assert_eq!(edited, format!("error[E078]: apps/echo.hpp is not what this cargo kp makes of the interface: {again}"));
    let marks = [&echo, &edu].map(|schema| format!("{:016x}", schema.fingerprint()));
    let other = stale(&text.replace(&marks[0], &marks[1]));
    let [its, due] = [&marks[1], &marks[0]];
    assert_eq!(other, format!("error[E078]: apps/echo.hpp is of fingerprint {its}, the interface of {due}: {again}"));
    std::fs::remove_file(folder.path().join("apps/echo.hpp")).expect("it is there");
    let (code, _, none) = folder.kp(check);
    assert_eq!(code, Some(1));
    assert!(none.starts_with("error[E078]: apps/echo.hpp cannot be read (No such file"), "{none}");
    assert_eq!(folder.kp("--schema echo.json --lang cpp --out apps").0, Some(0));
    assert_eq!(folder.read("apps/echo.hpp"), text);
}

#[test]
fn of_a_plugin_of_the_workspace_they_are_those_of_its_schema() {
    let folder = Folder::new();
    let out = folder.path().join("out").display().to_string();
    let mut tool = std::process::Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    tool.args(["kp", "bindings", "-p", "echo", "--lang", "c", "--out", &out]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = tool.output().expect("the tool can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [echo, ..] = examples();
    let due = cargo_kp::bindings::Language::C.files(&echo).expect("the templates fit");
    assert_eq!(folder.read("out/echo.h"), due[0].text);
}

#[test]
fn what_is_refused_is_one_line_and_writes_nothing() {
    let (folder, _) = with_schemas();
    folder.write("bad.json", "{}");
    for (words, code, line) in [
        (
            "--schema no.json --lang c",
            4,
            "error[E079]: no schema file no.json (No such file or directory (os error 2)): \
             `cargo kp schema -p PLUGIN --json > no.json` makes one",
        ),
        (
            "--schema bad.json --lang c",
            7,
            "error[E068]: what bad.json tells is no schema (missing field `format` at line 1 column 2): \
             take a `kp` that is as new as the driver",
        ),
        (
            "--schema echo.json --lang c --out echo.json/apps",
            1,
            "error[E080]: cannot write echo.json/apps (Not a directory (os error 20)); what was there is as it was",
        ),
    ] {
        let (its_code, said, error) = folder.kp(words);
        assert_eq!((its_code, said.as_str(), error.as_str()), (Some(code), "", line), "{words}");
    }
    assert_eq!(folder.names("."), ["bad.json", "echo.json", "edu.json"]);
    let (code, ..) = folder.kp("--schema echo.json --lang cobol");
    assert_eq!(code, Some(2));
}

#[test]
fn if_one_file_cannot_be_replaced_none_is() {
    let (folder, _) = with_schemas();
    assert_eq!(folder.kp("--schema echo.json --lang c --out apps").0, Some(0));
    folder.write("apps/echo.h", "an older one\n");
    // A folder is in the way of the second file.
    std::fs::create_dir_all(folder.path().join("apps/echo.hpp")).expect("a folder can be made");
    let (code, said, error) = folder.kp("--schema echo.json --lang cpp --out apps");
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(error.starts_with("error[E080]: cannot write apps (Is a directory"), "{error}");
    assert_eq!(folder.names("apps"), ["echo.h", "echo.hpp"]);
    assert_eq!(folder.read("apps/echo.h"), "an older one\n");
}
