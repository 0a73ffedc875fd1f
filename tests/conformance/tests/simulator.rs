//! The scenario and the hostile requests, in the simulator.
use conformance::{
    Part,
    simulated::{Simulated, SimulatedProcess},
};

#[test]
fn the_transcript_is_the_one_that_every_host_gives() {
    let transcript = conformance::scenario(&mut Simulated::new(), Part::All);
    assert_eq!(transcript, conformance::SNAPSHOT);
}

#[test]
#[ignore = "needs qemu-system-x86; run by `cargo kp test`"]
fn the_transcript_is_the_same_on_qemus_own_device() {
    let transcript = conformance::scenario(&mut Simulated::with_qemu(), Part::All);
    assert_eq!(transcript, conformance::SNAPSHOT);
}

#[test]
fn every_bad_request_has_its_status_and_changes_nothing() {
    for world in [Simulated::loaded(), Simulated::loaded_without_mmap()] {
        assert!(conformance::bad_input::run(&SimulatedProcess::new(&world)) > 400);
    }
}

#[test]
fn random_requests_leave_a_driver_that_works() {
    for world in [Simulated::loaded(), Simulated::loaded_without_mmap()] {
        let seen = conformance::fuzz::run(&SimulatedProcess::new(&world), 1, 20_000).to_string();
        assert!(seen.starts_with("seed 0x1: 20000 requests, "), "{seen}");
        println!("{seen}");
    }
}

#[test]
fn a_run_of_random_requests_that_fails_says_its_seed() {
    let world = Simulated::loaded();
    // Too short to see every status.
    let run = || conformance::fuzz::run(&SimulatedProcess::new(&world), 0x5EED, 10);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).err().expect("ten requests do not do");
    let said = failed.downcast_ref::<String>().expect("a panic with a text");
    assert!(said.contains("\nseed 0x5eed: 10 requests, "), "{said}");
}
