//! The cases of a device that sleeps, for the real Windows driver.
use super::device::Edu;
use crate::{
    asleep::{self, Sleeper},
    registry::guest_test,
    transcript::Transcript,
};
use kp_user::{ControlNode, Plugin};
use std::sync::Arc;
use trouble_interface::trouble;
use windows_loader::{Assigned, Machine, Options};

struct Loaded(Edu);

impl Sleeper for Loaded {
    fn connect(&self) -> Plugin {
        let handle = Arc::new(ControlNode::over(super::device::open_trouble(&self.0.process)));
        Plugin::over(handle, trouble::INTERFACE, &[]).expect("it opens")
    }

    fn sleep(&self) {
        self.0.device.set_system_power(false).unwrap_or_else(|status| panic!("sleep: {status:#x}"));
    }

    fn wake(&self) {
        self.0.device.set_system_power(true).unwrap_or_else(|status| panic!("wake: {status:#x}"));
    }

    fn pull_out(&self) {
        self.0.device.surprise_removal();
    }

    fn log(&self) -> Vec<String> {
        let log = self.0.machine.log();
        log.iter().filter_map(|line| Some(line.trim_end().strip_prefix("kp-trouble: ")?.to_owned())).collect()
    }
}

#[guest_test(stage = "loader")]
fn the_transcript_is_the_one_that_every_host_gives(drivers: &str) {
    let mut transcript = Transcript::new();
    for (nth, case) in asleep::CASES.into_iter().enumerate() {
        let host = Loaded(Edu::driven_by("trouble", drivers, Assigned::Line));
        case(&host, &mut transcript);
        if nth + 1 == asleep::CASES.len() {
            host.0.device.removed();
            host.0.unload();
        } else {
            host.0.finish();
        }
    }
    assert_eq!(transcript.text(), asleep::SNAPSHOT, "as in the simulator");
    print!("{}", transcript.text());
}

/// Under what Driver Verifier does to requests, with completions at the other level.
#[guest_test(stage = "loader")]
fn calls_and_sleeps_without_end_under_the_verifier(drivers: &str) {
    let mut options = Options::default();
    (options.verifier, options.first_at_dispatch) = (true, true);
    let host = Loaded(Edu::in_machine(Machine::new(options), "trouble", drivers, Assigned::Messages(1)));
    asleep::calls_and_sleeps_without_end(&host, &mut Transcript::new());
    host.0.finish();
}
