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
    let want = "\
plugin     kp edu 1.00
device     edu 1.0, alive: !0x0f0f0f0f = 0xf0f0f0f0
factorial  5! = 120, computed by the device
factorial  12! = 479001600, computed by the device
INTx       raised 10: 10 received, 2 deferred to the DPC, app woken 2 times, 0 lost
MSI        raised 10: 10 received, 2 deferred to the DPC, app woken 2 times, 0 lost
";
    assert_eq!(text, want);
}
