//! `cargo kp schema` says what a plugin's source says.
use std::process::{Command, Output};

use kp_tool::schema::Schema;

fn schema(arguments: &[&str]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    tool.args(["kp", "schema"]).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_plugins_messages_are_printed_for_people_and_as_json() {
    let json = schema(&["-p", "sleeper", "--json"]);
    assert!(json.status.success(), "{}", text(&json.stderr));
    let read = Schema::from_json(text(&json.stdout)).unwrap();
    assert_eq!((read.name.as_str(), read.version), ("sleeper", 1));
    let people = schema(&["-p", "sleeper"]);
    assert!(people.status.success(), "{}", text(&people.stderr));
    assert_eq!(text(&people.stdout), read.to_string());
    assert!(text(&people.stdout).starts_with("sleeper, version 1, "), "{}", text(&people.stdout));
}

#[test]
fn a_plugin_without_messages_is_told_from_one_that_there_is_not() {
    let said = |plugin| {
        let output = schema(&["-p", plugin]);
        let line = text(&output.stderr).lines().last().unwrap_or_default().to_owned();
        (output.status.code(), text(&output.stdout).to_owned(), line)
    };
    let (code, out, line) = said("deep-stack");
    let due = "error[E072]: deep-stack has no interface: declare its messages by `kp_abi::interface!`, and name them in `plugin!`";
    assert_eq!((code, out.as_str(), line.as_str()), (Some(4), "", due));
    let (code, out, line) = said("nobody");
    assert!(line.starts_with("error: no plugin nobody in this workspace; there are: "), "{line}");
    assert_eq!((code, out.as_str()), (Some(1), ""));
}

#[cfg(unix)]
#[test]
#[ignore = "needs Debian's compiler, and compiles core; run by `cargo kp test --long`"]
fn a_driver_has_as_much_of_its_interface_in_it_as_its_cargo_toml_says() {
    use cargo_kp::build::{self, Disclosure, Instrumentation};

    let mut plugin = build::select(Some("echo"), std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    plugin.output = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("schema");
    let mut has = |schema| {
        plugin.schema = schema;
        let object = build::object(&plugin, &Instrumentation::default(), &|_| {}).unwrap();
        let bytes = std::fs::read(object.path).unwrap();
        // What each begins with, a message's name, and a word of its documentation.
        ["KPSC", "repeat", "Remembers"].map(|part| bytes.windows(part.len()).any(|found| found == part.as_bytes()))
    };
    assert_eq!(has(Disclosure::All), [true, true, true]);
    assert_eq!(has(Disclosure::Names), [true, true, false]);
    assert!(!has(Disclosure::Nothing)[0], "no schema at all");
}
