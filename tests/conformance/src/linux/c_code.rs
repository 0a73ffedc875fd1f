//! A module with C in it.
use super::{load, unload};
use crate::{Unload, registry::guest_test};
use kp_user::Plugin;
use selftest_interface::selftest;

/// The app's story, over a module whose messages and whose interrupt handler call C.
#[guest_test("c-code", stage = "nodes")]
fn a_modules_c_code_tests_the_card_and_tells_its_interrupts_apart() {
    load("selftest");
    let plugin = Plugin::open_interface("selftest", selftest::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
    let mut said = Vec::new();
    selftest_app::run(&plugin, &mut said).unwrap_or_else(|error| panic!("selftest-app: {error}"));
    assert_eq!(String::from_utf8_lossy(&said), selftest_app::STORY);
    drop(plugin);
    assert_eq!(unload("selftest"), Unload::Gone);
    println!("C code in a module: the card passes its self test");
}
