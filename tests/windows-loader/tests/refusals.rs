//! What somebody who tests a driver of their own gets wrong, and what they are told: an error, and the machine goes on.
use kp_sim::device::{DeviceModel, Identity};
use std::fs;
use ticker::ticker as messages;
use windows_loader::{Assigned, Machine, Refused, build};

/// A card; or one without registers.
struct Card {
    has_bar: bool,
}

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x5678 }
    }
    fn bar_len(&self, bar: usize) -> Option<u64> {
        (bar == 0 && self.has_bar).then_some(0x1000)
    }
}

#[track_caller]
fn says<T>(refused: Result<T, Refused>, begins: &str, part: &str) {
    let said = refused.err().expect("it has to be refused").to_string();
    assert!(said.starts_with(begins) && said.contains(part), "{said}");
}

#[test]
#[ignore = "needs what `cargo kp build --target windows` needs"]
fn what_is_refused_is_named_and_the_machine_goes_on() {
    let sys = build("ticker").unwrap();
    let machine = Machine::default();
    let driver = machine.start(&sys).unwrap();
    let refused = machine.attach(Card { has_bar: false }, &driver, Assigned::Nothing);
    says(refused, "START_DEVICE: 0x", "log: kp-ticker: start refused: WrongDevice");
    says(machine.connect("kp-ticker.0", messages::INTERFACE), r"open \\.\kp-ticker.0: 0xc0000034", "");

    let device = machine.attach(Card { has_bar: true }, &driver, Assigned::Nothing).unwrap();
    let other = edu_interface::edu::INTERFACE;
    says(machine.connect("kp-ticker.0", other), r"open \\.\kp-ticker.0: ", "interface");
    let plugin = machine.connect("kp-ticker.0", messages::INTERFACE).unwrap();
    drop(plugin);
    device.unplug().unwrap();
    driver.unload().unwrap();
    machine.finish();
}

#[test]
#[ignore = "needs what `cargo kp build --target windows` needs"]
fn a_driver_in_use_is_not_unloaded() {
    let machine = Machine::default();
    let driver = machine.start(&build("ticker").unwrap()).unwrap();
    let _device = machine.attach(Card { has_bar: true }, &driver, Assigned::Nothing).unwrap();
    says(driver.unload(), "stop of the service: it drives a device: unplug that first", "");

    let machine = Machine::default();
    let driver = machine.start(&build("echo").unwrap()).unwrap();
    let _plugin = machine.connect("kp-echo", echo_interface::echo::INTERFACE).unwrap();
    says(driver.unload(), "stop of the service: 1 handles are open: drop what is connected first", "");
}

#[test]
#[ignore = "needs what `cargo kp build --target windows` needs"]
fn a_device_in_use_is_not_unplugged_and_the_error_is_the_tests() {
    let machine = Machine::default();
    let driver = machine.start(&build("ticker").unwrap()).unwrap();
    let device = machine.attach(Card { has_bar: true }, &driver, Assigned::Nothing).unwrap();
    let plugin = machine.connect("kp-ticker.0", messages::INTERFACE).unwrap();
    says(device.unplug(), "QUERY_REMOVE_DEVICE: 1 handles are open: drop what is connected first", "");
    assert_eq!(messages::Client(&plugin).ticks(), Ok(u32::MAX), "the device stays where it is");
}

#[test]
#[ignore = "needs what `cargo kp build --target windows` needs"]
fn a_file_that_is_no_driver_for_this_processor_is_not_run() {
    let machine = Machine::default();
    let sys = build("ticker").unwrap();
    let mut bytes = fs::read(&sys).unwrap();
    let header = u32::from_le_bytes(bytes[0x3C..0x40].try_into().unwrap()) as usize;
    bytes[header + 4..header + 6].copy_from_slice(&0xAA64_u16.to_le_bytes());
    let arm64 = sys.with_file_name("kp-ticker-arm64.sys");
    fs::write(&arm64, bytes).unwrap();
    let refused = machine.start(&arm64).err().expect("it has to be refused").to_string();
    fs::remove_file(&arm64).unwrap();
    assert!(refused.contains("kp-ticker-arm64.sys: it is for another processor, 0xaa64"), "{refused}");
    machine.finish();
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let machine = Machine::default();
    let refused = machine.start("nowhere/kp-none.sys".as_ref()).err().expect("it has to be refused").to_string();
    assert!(refused.starts_with("nowhere/kp-none.sys: No such file"), "{refused}");
    machine.finish();
}

#[test]
#[ignore = "builds the tool"]
fn a_package_that_is_not_there_is_named() {
    let refused = build("no-such-plugin").unwrap_err().to_string();
    assert!(refused.starts_with("`cargo kp build` has failed:") && refused.contains("no-such-plugin"), "{refused}");
}
