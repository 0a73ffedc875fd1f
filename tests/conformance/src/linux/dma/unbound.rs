//! A device that is taken from its driver in each state of a transfer.
use super::{connect, nothing_is_pinned, start, works};
use crate::{
    Unload,
    interrupts::until,
    linux::{
        stress::{address, has_node, sysfs},
        unload,
    },
    loopback::Pair,
    registry::guest_test,
};
use kp_abi::Status;
use kp_user::{Access, Enable};
use loopback_interface::{BLOCK, loopback};

/// Unbinds and binds, `rounds` times in each state. Calls that are inside end, and what they had is released.
#[guest_test("dma unbound", stage = "dma", short = "2", long = "20")]
fn a_device_unbound_in_any_state_of_a_transfer_has_nothing(rounds: u32) {
    let first = start("loopback", loopback::INTERFACE);
    let address = address(&first);
    drop(first);
    for _ in 0..rounds {
        for state in ["registered", "attached", "kept", "receiving", "by interrupts"] {
            unbind_in(state, &address);
        }
    }
    assert_eq!(unload("loopback"), Unload::Gone);
    nothing_is_pinned();
    println!("unbound and bound {} times", 5 * rounds);
}

fn unbind_in(state: &str, address: &str) {
    let plugin = connect("loopback", loopback::INTERFACE);
    let client = loopback::Client(&plugin);
    let buffer = || plugin.buffer(16 * BLOCK as usize, Access::Write).expect("a buffer");
    if state == "registered" {
        let _registered = buffer();
        return unbind_and_bind(address, || ());
    }
    let pair = Pair::new(&plugin, 16);
    let is_waiting = ["receiving", "by interrupts"].contains(&state);
    let interrupts =
        (state == "by interrupts").then(|| plugin.interrupts(Enable::msi()).expect("nobody has it enabled"));
    if state == "kept" {
        assert_eq!(client.wait_for_nothing(5).expect_err("nobody sends"), Status::TIMEOUT, "the card keeps them");
        assert!(plugin.query().is_ok_and(|query| query.quarantined > 0));
    }
    std::thread::scope(|scope| {
        let waits = is_waiting.then(|| scope.spawn(|| loopback::Client(&plugin).wait_for_nothing(60_000)));
        if is_waiting {
            until("the call is inside", || plugin.query().is_ok_and(|query| query.calls == 1));
        }
        unbind_and_bind(address, || {
            if let Some(waits) = waits {
                let ended = waits.join().expect("a call does not panic");
                assert_eq!(ended.expect_err("nobody sends"), Status::DEVICE_GONE, "{state}");
            }
            assert_eq!(client.transfer(0, 0, BLOCK, 1).expect_err("it is gone"), Status::DEVICE_GONE, "{state}");
        });
    });
    drop(interrupts);
    drop(pair);
}

fn unbind_and_bind(address: &str, unbound: impl FnOnce()) {
    sysfs("loopback", "unbind", address);
    unbound();
    sysfs("loopback", "bind", address);
    until("the node is back", || has_node("loopback"));
    works(&connect("loopback", loopback::INTERFACE));
}
