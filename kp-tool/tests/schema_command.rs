//! What `kp schema` says, and exits with, of a plugin that is not there.
#![cfg(unix)]
use std::process::Command;

/// What it prints, what it complains of, and its exit code.
fn kp(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_kp")).args(arguments).output().expect("kp can be started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn a_plugin_that_is_not_there_is_refused_in_a_line_that_says_what_to_do() {
    let (out, line, code) = kp(&["schema", "no-such-plugin"]);
    let due = "error[E069]: /dev/kp/no-such-plugin: no such device node: is the module loaded? ";
    assert!(line.starts_with(due) && line.lines().count() == 1, "{line}");
    assert_eq!((out.as_str(), code), ("", Some(4)));
    let (out, line, code) = kp(&["schema", "No Plugin", "--json"]);
    assert!(line.starts_with("error[E071]: \"No Plugin\": ") && line.lines().count() == 1, "{line}");
    assert_eq!((out.as_str(), code), ("", Some(2)));
}

#[test]
fn a_code_is_explained() {
    let (out, _, code) = kp(&["--explain", "E067"]);
    assert!(out.starts_with("A driver tells its messages by the request SCHEMA."), "{out}");
    assert_eq!(code, Some(0));
    let (_, line, code) = kp(&[]);
    assert!(line.contains("schema") && code == Some(2), "{line}");
}
