//! What a plugin has kept of a device reaches it as long as it is bound, and nothing after that.
use super::{Loaded, open};
use crate::{linux::stress::address, registry::guest_test};
use kp_abi::Status;
use std::fs;
use trouble_interface::trouble;

/// edu's vendor and device.
const EDU: u32 = 0x11e8_1234;

/// Keeps the configuration space of a device, and uses it: at once, and after the device was unbound and bound anew.
#[guest_test("planted kept", stage = "planted")]
fn configuration_space_that_is_kept_ends_with_the_device() {
    let loaded = Loaded::new();
    let plugin = open(&[]);
    let client = trouble::Client(&plugin);
    assert_eq!(client.keep_config(), Ok(()));
    assert_eq!(client.kept_config(), Ok(EDU), "a call may use it");
    assert_eq!(client.keep_config(), Ok(()));
    assert_eq!(client.kept_config(), Err(Status::WRONG_DEVICE.into()), "the plugin has it no more");
    let device = address(&plugin);
    let driver = |file| fs::write(format!("/sys/bus/pci/drivers/kp_trouble/{file}"), &device);
    drop(plugin);
    driver("unbind").expect("the device can be unbound");
    driver("bind").expect("and bound again");

    let plugin = open(&[]);
    assert_eq!(trouble::Client(&plugin).keep_config(), Ok(()));
    driver("unbind").expect("the device can be unbound");
    driver("bind").expect("and bound again");
    drop(plugin);
    let plugin = open(&[]);
    let kept = trouble::Client(&plugin).kept_config();
    assert_eq!(kept, Err(Status::DEVICE_GONE.into()), "what the binding before has kept reaches nothing");
    drop(plugin);
    drop(loaded);
}
