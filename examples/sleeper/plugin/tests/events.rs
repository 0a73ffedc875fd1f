//! What the sleeper plugin promises, on the simulator's model of the device.
#![forbid(unsafe_code)]

use kp_core::Status;
use kp_sim::{Sim, device::DeviceModel, edu::Edu as Device};
use kp_user::{Enable, Plugin};
use sleeper::{Sleeper, sleeper as messages};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// The register that lets the device interrupt, and its bit.
const STATUS: u64 = 0x20;
const INTERRUPT_WHEN_DONE: u64 = 1 << 7;

fn connect() -> (Sim<Sleeper>, Plugin) {
    let sim = Sim::<Sleeper>::with(Device::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    (sim, plugin)
}

fn sleep(sim: &Sim<Sleeper>) {
    sim.suspend();
    sim.resume();
}

#[test]
fn the_device_has_its_word_again_after_sleep_and_after_a_reset() {
    let (sim, plugin) = connect();
    let client = messages::Client(&plugin);
    client.set(42).unwrap();
    sleep(&sim);
    assert_eq!(client.get(), Ok(42));
    sim.reset();
    assert_eq!(client.get(), Ok(42));
    let happened = client.happened().unwrap();
    assert_eq!((happened.sleeps, happened.resets), (1, 1));
}

#[test]
fn an_interrupt_that_is_enabled_goes_on_after_sleep_and_after_a_reset() {
    let (sim, plugin) = connect();
    let client = messages::Client(&plugin);
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    for disturb in [sleep, Sim::reset] {
        disturb(&sim);
        client.start(5).unwrap();
        assert_eq!(interrupts.wait(PATIENCE).unwrap().got, 1);
    }
}

#[test]
fn an_interrupt_that_is_disabled_in_sleep_stays_so() {
    let (sim, plugin) = connect();
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    sim.suspend();
    plugin.connection().close().unwrap();
    drop(interrupts);
    sim.resume();
    let status = sim.device(|device: &mut Device| device.read(0, STATUS, 4, &mut Vec::new()));
    assert_eq!(status & INTERRUPT_WHEN_DONE, 0, "no app listens any more");
}

#[test]
fn an_app_learns_that_the_device_is_gone() {
    let (sim, plugin) = connect();
    sim.remove(false);
    assert_eq!(messages::Client(&plugin).get().unwrap_err().status, Status::DEVICE_GONE);
    assert!(sim.log().iter().any(|line| line.contains("the device is going")), "{:?}", sim.log());
}
