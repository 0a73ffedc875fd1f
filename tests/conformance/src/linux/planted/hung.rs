//! A tear-down that takes too long: the kernel that looks for hung tasks sees it, as it sees any driver's.
use super::{Loaded, open};
use crate::{interrupts::until, linux::stress::address};
use kp_abi::request::state;
use std::{fs, thread};
use trouble_interface::trouble;

/// Unbinds the device while a call keeps a processor for seconds, which nothing ends. Whether the kernel has said so shows in its log.
pub fn run() {
    for (name, value) in [("timeout_secs", "1"), ("check_interval_secs", "1")] {
        fs::write(format!("/proc/sys/kernel/hung_task_{name}"), value).expect("this kernel looks for hung tasks");
    }
    let loaded = Loaded::new();
    let (plugin, witness) = (open(&[]), open(&[]));
    thread::scope(|scope| {
        let call = scope.spawn(|| trouble::Client(&plugin).spin(5000));
        until("the call is inside", || plugin.query().is_ok_and(|query| query.calls == 1));
        fs::write("/sys/bus/pci/drivers/kp_trouble/unbind", address(&witness)).expect("the device can be unbound");
        assert_eq!(witness.query().expect("QUERY works always").state, state::GONE);
        call.join().expect("the caller does not panic").expect("it was inside until it ended");
    });
    drop((plugin, witness));
    drop(loaded);
}
