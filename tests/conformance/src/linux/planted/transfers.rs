//! A device that transfers by itself, since its plugin wants that: it does until it is removed, whatever becomes of its interrupt.
use super::{Loaded, NAME, command::CommandRegister, one_interrupt, open};
use crate::linux::stress::address;
use kp_abi::request::kind;
use std::fs;

/// The plugin wants it of a device that it finds so.
pub fn run() {
    let loaded = Loaded::new();
    let address = address(&open(&[]));
    let sysfs = |what: &str| {
        fs::write(format!("/sys/bus/pci/drivers/kp_{NAME}/{what}"), &address).expect("it can be bound and unbound");
    };
    let command = CommandRegister::of(&address);
    assert!(!command.is_master(), "nobody wants it");
    sysfs("unbind");
    command.make_master();
    sysfs("bind");
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
    sysfs("unbind");
    assert!(!command.is_master(), "nobody has the device");
    sysfs("bind");
    assert!(!command.is_master(), "nobody wants it any more");
    drop(loaded);
}
