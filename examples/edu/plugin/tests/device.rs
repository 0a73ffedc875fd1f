//! What the edu plugin promises, on the simulator's model of the device.
#![forbid(unsafe_code)]

use edu::{Edu, edu as messages};
use kp_core::{Error, Status};
use kp_sim::{Sim, edu::Edu as Device};
use kp_user::{Enable, Plugin};

fn connect(device: Device) -> (Sim<Edu>, Plugin) {
    let sim = Sim::<Edu>::with(device).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    (sim, plugin)
}

#[test]
fn the_device_computes_and_the_plugin_waits_for_it() {
    let (_sim, plugin) = connect(Device::new().factorial_takes(50, 1));
    let client = messages::Client(&plugin);
    assert_eq!(client.factorial(12), Ok(479_001_600));
    assert_eq!(client.invert(0), Ok(u32::MAX));
}

#[test]
fn a_device_that_never_finishes_is_a_timeout_not_a_hang() {
    let (_sim, plugin) = connect(Device::new().factorial_takes(u32::MAX, u64::MAX));
    assert_eq!(messages::Client(&plugin).factorial(12), Err(Error::from(Status::TIMEOUT)));
}

#[test]
fn every_nth_interrupt_reaches_the_app_over_line_and_msi() {
    for enable in [Enable::line(), Enable::msi()] {
        let (_sim, plugin) = connect(Device::new());
        let client = messages::Client(&plugin);
        client.defer_every(3).unwrap();
        let interrupts = plugin.interrupts(enable).unwrap();
        for _ in 0..10 {
            client.raise(1).unwrap();
        }
        let c = interrupts.disable().unwrap();
        assert_eq!((c.received, c.deferred, c.notified, c.lost), (10, 3, 3, 3));
    }
}

#[test]
fn every_fifth_is_deferred_at_first() {
    let (_sim, plugin) = connect(Device::new());
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    for _ in 0..5 {
        messages::Client(&plugin).raise(1).unwrap();
    }
    let c = interrupts.counters().unwrap();
    assert_eq!((c.received, c.deferred, c.notified), (5, 1, 1));
}

#[test]
fn an_interrupt_left_by_an_earlier_owner_is_not_the_next_ones() {
    let (_sim, plugin) = connect(Device::new());
    messages::Client(&plugin).raise(1).unwrap();
    let interrupts = plugin.interrupts(Enable::line()).unwrap();
    assert_eq!(interrupts.counters().unwrap().received, 0);
}

#[test]
fn another_device_is_refused() {
    struct Other;
    impl kp_sim::device::DeviceModel for Other {
        fn identity(&self) -> kp_sim::device::Identity {
            kp_sim::device::Identity { vendor: 0x1234, device: 0x11e8 }
        }
    }
    assert_eq!(Sim::<Edu>::with(Other).err(), Some(Error::from(Status::WRONG_DEVICE)));
}
