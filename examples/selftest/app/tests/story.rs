//! The app's story, on the simulator.
#![forbid(unsafe_code)]

use kp_sim::Sim;

#[test]
fn the_story_says_what_the_card_did() {
    let sim = Sim::<selftest::Selftest>::with(kp_sim::edu::Edu::new()).unwrap();
    let plugin = sim.connect(selftest_interface::selftest::INTERFACE).unwrap();
    let mut out = Vec::new();
    selftest_app::run(&plugin, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), selftest_app::STORY);
}
