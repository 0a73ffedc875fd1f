//! A program that knows the pages alone comes to the same fingerprint: `tests/schema/fingerprint.py`.
use super::{bytes, interfaces};
use kp_tool::schema::Schema;
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Where Debian has it. A person's own Python may be a script.
const PYTHON: &str = "/usr/bin/python3";

#[test]
#[ignore = "needs python3-minimal; run by `cargo kp test`"]
fn python_computes_every_fingerprint_from_the_json() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/schema/fingerprint.py");
    let mut python = Command::new(PYTHON)
        .args(["-I", "-S"])
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 can be started: apt-get install python3-minimal");
    let mut input = python.stdin.take().expect("a pipe");
    let mut due = Vec::new();
    let lines: String = interfaces()
        .map(|interface| {
            due.push(format!("{:016x}", interface.fingerprint()));
            let json = Schema::decode(&bytes(&interface)).expect("a schema").to_json();
            let object: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            format!("{object}\n")
        })
        .collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).expect("it reads all of it"));
    let output = python.wait_with_output().expect("it ends");
    writer.join().expect("all was written");
    assert!(output.status.success(), "see above");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!((due.len(), said.lines().collect::<Vec<_>>()), (207, due.iter().map(String::as_str).collect()));
}
