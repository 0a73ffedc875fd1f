//! The app's story, on the simulator.
#![forbid(unsafe_code)]

use kp_sim::Sim;

#[test]
fn the_story_goes_on_after_sleep_and_a_reset() {
    let sim = Sim::<sleeper::Sleeper>::with(kp_sim::edu::Edu::new()).unwrap();
    let plugin = sim.connect(sleeper_interface::sleeper::INTERFACE).unwrap();
    let mut disturb = || {
        sim.suspend();
        sim.resume();
        sim.reset();
    };
    let mut out = Vec::new();
    sleeper_app::run(&plugin, &mut disturb, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), include_str!("story.txt"));
}
