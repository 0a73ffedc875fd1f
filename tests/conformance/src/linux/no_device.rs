//! Why a plugin that is loaded has no device: three reasons, and both an app and `kp` say which it is.
use super::{MODULES, load, nodes::edus, unload};
use crate::{Unload, interrupts::until, registry::guest_test};
use kp_tool::{loaded::self_check, machine::System, module::Module};
use kp_user::Plugin;
use std::{fs, path::Path};
use trouble_interface::trouble;

/// What `kp install`, `load` and `status` say of the module; and an app of its node.
fn told(aliases: &[String]) -> (Option<String>, Option<String>) {
    let kp = self_check(&System::this(), "trouble", aliases).err().map(|message| message.to_string());
    (kp, Plugin::open("trouble").err().map(|error| error.to_string()))
}

/// What both have to say: that it is not well, and these parts of it.
fn is_told(aliases: &[String], by_kp: &str, by_app: &str) {
    let (kp, app) = told(aliases);
    let (kp, app) = (kp.expect("kp sees no device"), app.expect("an app finds no node"));
    assert!(kp.starts_with(&format!("kp_trouble is loaded and has no device: {by_kp}")), "{kp}");
    assert!(app.starts_with(&format!("/dev/kp/trouble: no device node: {by_app}")), "{app}");
}

fn write(path: &str, what: &str) {
    fs::write(path, what).unwrap_or_else(|error| panic!("{path}: {error}"));
}

#[guest_test("no-device", stage = "tear-down")]
fn a_device_that_init_refused_is_told_from_one_that_is_held_and_from_none() {
    let path = format!("{MODULES}/kp-trouble.ko");
    let content = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let module = Module::parse(Path::new(&path), &content).expect("it is a plugin's module");
    let aliases = &module.aliases[..];
    let [card] = &edus()[..] else { panic!("the guest has one edu") };
    let (driver, device) = ("/sys/bus/pci/drivers/kp_trouble", format!("/sys/bus/pci/devices/{card}"));
    load("trouble");
    assert_eq!(told(aliases), (None, None));

    let plugin = Plugin::open_interface("trouble", trouble::INTERFACE, &[]).expect("it has a node");
    trouble::Client(&plugin).refuse(1).expect("init can be told to refuse");
    drop(plugin);
    write(&format!("{driver}/unbind"), card);
    // What it fails with differs from kernel to kernel.
    fs::write(format!("{driver}/bind"), card).expect_err("init refuses");
    let log = "the log: \"kp_trouble: init refused the device: NoMemory\"";
    is_told(
        aliases,
        &format!("`init` refused {card} (1234:11e8); {log}"),
        &format!("`init` refused {card}: NoMemory: see `dmesg`"),
    );

    write(&format!("{device}/driver_override"), "vfio-pci\n");
    is_told(
        aliases,
        &format!("{card} (1234:11e8) is kept for `vfio-pci` by its driver_override"),
        &format!("driver_override of {card} is set to vfio-pci"),
    );

    write(&format!("{device}/remove"), "1");
    is_told(aliases, "there is no PCI device 1234:11e8 on the bus", "no device that kp_trouble drives is on the bus");

    write("/sys/bus/pci/rescan", "1");
    until("it is bound again", || told(aliases) == (None, None));
    assert_eq!(unload("trouble"), Unload::Gone);
    println!("no device, told by which of three reasons");
}
