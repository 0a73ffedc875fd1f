//! A handler of C++ that is destroyed, over a driver that is none.
use crate::{bindings, folder::Folder, schema};
use cargo_kp::bindings::Language;
use std::{fs, process::Command};

#[test]
#[ignore = "needs g++ and python3; run by `cargo kp test`"]
fn a_handler_that_is_destroyed_leaves_a_later_interrupt_alone_and_ends_when_the_calls_of_others_have() {
    let folder = Folder::new();
    let edu = schema(edu_interface::edu::INTERFACE);
    folder.put(&bindings(Language::Cpp, [edu.clone()]));
    for file in bindings(Language::Python, [edu]) {
        let path = folder.path().join(&file.path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        folder.write(&file.path, &file.text);
    }
    folder.write("dropped.cpp", include_str!("../../../tests/bindings/dropped.cpp"));
    folder.compile("g++", "-std=c++17 -Wall -Wextra -Werror -pedantic -g -pthread -o app dropped.cpp");
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/bindings/python");
    let mut driver = Command::new("/usr/bin/python3");
    driver.arg(format!("{tests}/dropped.py")).arg("./app").current_dir(folder.path());
    let output = driver.env("PYTHONPATH", folder.path()).output().expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a later one is enabled still: 1\nthe handler has ended\n");
}
