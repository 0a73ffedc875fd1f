//! The app's story, on the simulator.
#![forbid(unsafe_code)]

#[path = "../../plugin/tests/model/mod.rs"]
mod model;

use kp_sim::Sim;
use model::Model;

#[test]
fn the_story_says_which_vector_woke_the_app() {
    let sim = Sim::<ivshmem::Ivshmem>::with(Model::new()).unwrap();
    let plugin = sim.connect(ivshmem_interface::ivshmem::INTERFACE).unwrap();
    let mut out = Vec::new();
    ivshmem_app::run(&plugin, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), include_str!("story.txt"));
}
