//! A driver with C in it.
use super::resources::{connect, finish, started};
use crate::registry::guest_test;
use windows_loader::{Assigned, Shape};

/// The app's story, over a driver whose messages and whose interrupt handler call C.
#[guest_test(stage = "loader")]
fn a_drivers_c_code_tests_the_card_and_tells_its_interrupts_apart(drivers: &str) {
    let loaded = started("selftest", drivers, kp_sim::edu::Edu::new(), Shape::mixed(), Assigned::Messages(1));
    let plugin = connect(&loaded.process, r"\\.\kp-selftest.0", selftest_interface::selftest::INTERFACE);
    let mut said = Vec::new();
    selftest_app::run(&plugin, &mut said).unwrap_or_else(|error| panic!("selftest-app: {error}"));
    assert_eq!(String::from_utf8_lossy(&said), selftest_app::STORY);
    drop(plugin);
    finish(loaded);
}
