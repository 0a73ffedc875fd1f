//! A tear-down that takes too long: the kernel that looks for hung tasks sees it, as it sees any driver's.
use super::{Loaded, open};
use crate::{interrupts::until, linux::stress::address, registry::guest_test};
use kp_abi::request::state;
use std::{fs, thread};
use trouble_interface::trouble;

/// Unbinds the device while a session closes, which takes seconds, and nothing ends that. Whether the kernel has said so shows in its log.
#[guest_test("planted hung", stage = "planted")]
fn a_teardown_takes_seconds() {
    for (name, value) in [("timeout_secs", "1"), ("check_interval_secs", "1")] {
        fs::write(format!("/proc/sys/kernel/hung_task_{name}"), value).expect("this kernel looks for hung tasks");
    }
    let loaded = Loaded::new();
    let (plugin, witness) = (open(&[]), open(&[]));
    let client = trouble::Client(&witness);
    client.close_slowly(5000).expect("the plugin does as it is told");
    thread::scope(|scope| {
        scope.spawn(|| drop(plugin));
        until("it closes", || client.closing() == Ok(1));
        client.close_slowly(0).expect("the plugin does as it is told");
        fs::write("/sys/bus/pci/drivers/kp_trouble/unbind", address(&witness)).expect("the device can be unbound");
        assert_eq!(witness.query().expect("QUERY works always").state, state::GONE);
    });
    drop(witness);
    drop(loaded);
}
