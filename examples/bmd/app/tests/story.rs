//! The app's story, on the simulator.
#![forbid(unsafe_code)]

use kp_sim::{Sim, edu::Edu};

#[test]
fn the_story_says_what_the_card_did() {
    let sim = Sim::<bmd::Bmd>::with(Edu::new().dma_mask(u64::from(u32::MAX)).transfers_take(1_000)).unwrap();
    let plugin = sim.connect(bmd_interface::bmd::INTERFACE).unwrap();
    let mut out = Vec::new();
    bmd_app::run(&plugin, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), include_str!("story.txt"));
}
