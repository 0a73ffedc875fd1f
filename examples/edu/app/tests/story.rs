//! The app's story, on the simulator.
#![forbid(unsafe_code)]

use kp_sim::Sim;

#[test]
fn the_story_says_what_the_device_did() {
    let sim = Sim::<edu::Edu>::with(kp_sim::edu::Edu::new()).unwrap();
    let plugin = sim.connect(edu_interface::edu::INTERFACE).unwrap();
    let mut out = Vec::new();
    edu_app::run(&plugin, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, include_str!("story.txt"));
}

#[test]
fn the_readme_shows_this_story() {
    let readme = include_str!("../../../../README.md");
    let block = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of text");
    assert_eq!(block, include_str!("story.txt"));
}
