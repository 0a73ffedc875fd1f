//! An ordinary life of a module. Whether it left something behind shows in the kernel's log, nowhere here.
use super::{Loaded, open};
use crate::{Subject, Unload, World, linux::Guest, registry::guest_test};
use edu_interface::edu;
use kp_abi::request::{ANY_VECTOR, NO_TIMEOUT, kind};
use trouble_interface::trouble;

/// Loads the plugin, has it lose `what` (`box`, `mapping` or `nothing`), and unloads it.
#[guest_test("planted leak", stage = "planted", short = "nothing")]
fn a_plugin_that_loses_something_is_unloaded(what: &str) {
    let loaded = Loaded::new();
    let plugin = open(&[]);
    let client = trouble::Client(&plugin);
    let lost = match what {
        "box" => client.leak_box(),
        "mapping" => client.leak_mapping(),
        "nothing" => client.ping(),
        _ => panic!("nobody can lose a {what}"),
    };
    lost.expect("the plugin does as it is told");
    drop(plugin);
    drop(loaded);
}

/// Loads edu, has it interrupt once, waits for that, and unloads it.
#[guest_test("planted interrupt", stage = "planted")]
fn interrupt() {
    Guest.load(Subject::Edu);
    let plugin = Guest.connect(Subject::Edu);
    edu::Client(&plugin).defer_every(1).expect("every interrupt can be deferred");
    let enabled = plugin.connection().int_enable(kind::MSI, 1, 1, &[]);
    enabled.unwrap_or_else(|error| panic!("an interrupt can be enabled: {error}"));
    edu::Client(&plugin).raise(1).expect("the device can be told to interrupt");
    plugin.connection().int_wait(NO_TIMEOUT, ANY_VECTOR, 1).expect("the interrupt arrives");
    plugin.connection().int_disable().expect("the interrupt can be disabled");
    drop(plugin);
    assert_eq!(Guest.unload(Subject::Edu), Unload::Gone);
}
