//! The app's story, on the simulator.
#![forbid(unsafe_code)]

use kp_sim::Sim;

#[test]
fn the_story_says_what_was_heard() {
    let sim = Sim::<echo::Echo>::new().unwrap();
    let plugin = sim.connect(echo_interface::echo::INTERFACE).unwrap();
    let mut out = Vec::new();
    echo_app::run(&plugin, "hello, kernel ", &mut out).unwrap();
    let want = "heard      hello, kernel \nlouder     HELLO, KERNEL\nso far     1 text, 14 bytes\n";
    assert_eq!(String::from_utf8(out).unwrap(), want);
}
