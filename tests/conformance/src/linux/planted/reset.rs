//! The device is reset through sysfs under an open session: the plugin hears of it, the session and its interrupt go on.
use super::{Loaded, NAME};
use crate::{linux::stress::address, registry::guest_test};
use kp_abi::request::{ANY_VECTOR, kind, state};
use kp_user::{Node, Plugin};
use std::{fs, sync::Arc};
use trouble_interface::trouble;

/// A hang, not a measure.
const PATIENCE_NS: u64 = 60_000_000_000;

/// Once for each kind of interrupt, at the second device of the guest: it is alone on its bus, and can be reset with that.
#[guest_test("planted reset", stage = "planted")]
fn a_session_goes_on_after_a_reset() {
    let loaded = Loaded::new();
    for (name, kinds) in [("line", kind::LINE), ("MSI", kind::MSI)] {
        println!("{name}");
        under_a_session(kinds);
    }
    drop(loaded);
}

fn under_a_session(kinds: u32) {
    let node = Node::open(format!("/dev/kp/{NAME}.1")).expect("the second device's node can be opened");
    let plugin = Plugin::over(Arc::new(node), trouble::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
    let (client, connection) = (trouble::Client(&plugin), plugin.connection());
    let got = connection.int_enable(kinds, 1, 1, &[]).expect("an interrupt can be enabled");
    assert_eq!(got.kind, kinds);
    let before = plugin.query().expect("QUERY works always").resets;
    for resets in before + 1..=before + 2 {
        fs::write(format!("/sys/bus/pci/devices/{}/reset", address(&plugin)), "1").expect("the device can be reset");
        let query = plugin.query().expect("QUERY works always");
        assert_eq!((query.state, query.resets), (state::BOUND, resets));
        assert_eq!(client.invert(0x1234_5678), Ok(!0x1234_5678), "the registers work");
        client.raise(1).expect("the device can be told to interrupt");
        let waited = connection.int_wait(PATIENCE_NS, ANY_VECTOR, 1).map(|notification| notification.got);
        assert_eq!(waited, Ok(1), "the interrupt works");
    }
    connection.int_disable().expect("the interrupt can be disabled");
}
