//! What the tests share.
use kp_abi::{
    request::{self, Head},
    zerocopy::FromBytes,
};
use std::{path::PathBuf, process::Command, sync::Mutex};

/// A plugin's .sys, built by the tool.
pub fn sys(plugin: &str) -> PathBuf {
    // The tool takes a lock too; this keeps its messages apart.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let tool = ["run", "--quiet", "--package", "cargo-kp", "--", "kp", "build", "-p", plugin, "--target", "windows"];
    let output = Command::new(env!("CARGO")).args(tool).output().expect("cargo can be started");
    assert!(output.status.success(), "{plugin} does not build: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).expect("a path that is text").trim())
}

/// A request's control code.
pub fn control_code(nr: u32) -> u32 {
    request::control_code(nr).expect("such a request")
}

/// The head of a reply.
pub fn head(reply: &[u8]) -> Head {
    Head::read_from_prefix(reply).expect("a reply has a head").0
}
