//! Time passes for a device, whether anybody touches it or not.
use kp_sim::device::{DeviceModel, Identity, Memory};
use std::{
    sync::mpsc::{Sender, channel},
    time::Duration,
};
use windows_loader::Machine;

/// A card that says how much time has passed.
struct Clock(Sender<u64>);

impl DeviceModel for Clock {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x5678 }
    }
    fn advance(&mut self, ns: u64, _: &mut dyn Memory) {
        self.0.send(ns).ok();
    }
}

#[test]
fn time_passes_for_a_device_that_nobody_touches() {
    let (sender, passed) = channel();
    let machine = Machine::default();
    let _device = machine.plug(Clock(sender));
    let mut ns = 0;
    while ns < 10_000_000 {
        ns += passed.recv_timeout(Duration::from_secs(10)).expect("no time passes for the device");
    }
}
