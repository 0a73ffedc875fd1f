//! The cases of a device that sleeps, in the simulator; the loader has them of the real driver.
#![cfg(all(target_pointer_width = "64", not(windows)))]
use ::trouble::{Trouble, trouble};
use conformance::{
    asleep::{self, Sleeper},
    transcript::Transcript,
};
use kp_sim::Sim;
use kp_user::Plugin;
use std::time::Duration;

struct Simulated(Sim<Trouble>);

impl Sleeper for Simulated {
    fn connect(&self) -> Plugin {
        self.0.connect(trouble::INTERFACE).expect("it opens")
    }

    fn sleep(&self) {
        // In the loader calls have the 20 s that they have everywhere.
        self.0.suspend_within(Duration::from_secs(2));
    }

    fn wake(&self) {
        self.0.resume();
    }

    fn pull_out(&self) {
        self.0.remove(false);
    }

    fn log(&self) -> Vec<String> {
        self.0.log()
    }
}

#[test]
fn nothing_touches_a_device_that_sleeps_and_what_waits_goes_on() {
    let mut transcript = Transcript::new();
    for case in asleep::CASES {
        let host = Simulated(Sim::with(kp_sim::edu::Edu::new()).expect("it is bound"));
        case(&host, &mut transcript);
    }
    if std::env::var_os("KP_BLESS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/asleep.txt");
        std::fs::write(file, transcript.text()).expect("the transcript can be written");
    }
    assert_eq!(transcript.text(), asleep::SNAPSHOT, "KP_BLESS=1 writes it anew");
}
