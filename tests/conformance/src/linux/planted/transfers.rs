//! A device that transfers by itself, since its plugin wants that: it does until it is removed, whatever becomes of its interrupt.
use super::{Loaded, NAME, command::CommandRegister, one_interrupt, open};
use crate::{linux::stress::address, registry::guest_test};
use kp_abi::request::kind;
use std::fs;
use trouble_interface::trouble;

/// If its plugin wants that, and whatever becomes of its interrupt; with each kind.
#[guest_test("planted transfers", stage = "planted")]
fn a_device_transfers_until_it_is_removed() {
    let loaded = Loaded::new();
    let address = address(&open(&[]));
    let bind_anew = |masters| {
        trouble::Client(&open(&[])).masters(masters).expect("the plugin can be told what to want");
        for what in ["unbind", "bind"] {
            let path = format!("/sys/bus/pci/drivers/kp_{NAME}/{what}");
            fs::write(&path, &address).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    };
    let command = CommandRegister::of(&address);
    assert!(!command.is_master(), "nobody wants it");
    bind_anew(true);
    assert!(command.is_master(), "its plugin wants it");
    let plugin = open(&[]);
    for (name, kinds) in [("MSI", kind::MSI), ("line", kind::LINE)] {
        plugin.connection().int_enable(kinds, 1, 1, &[]).expect("an interrupt can be enabled");
        one_interrupt(&plugin);
        assert!(command.is_master(), "{name} is enabled");
        plugin.connection().int_disable().expect("it can be disabled");
        assert!(command.is_master(), "{name} is disabled, and the plugin wants it still");
    }
    drop(plugin);
    bind_anew(false);
    assert!(!command.is_master(), "nobody wants it any more");
    drop(loaded);
}
