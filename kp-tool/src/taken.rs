//! Devices that a plugin has by name: `kp load --take` and `cargo kp vm --take` take them from another driver, and what removes the plugin gives them
//! back.
//!
//! A device's `driver_override` names the only driver that may have it, and outlives that driver's module. Where it named another driver before,
//! as driverctl has it name vfio-pci, a file below `/run/kp` keeps that name until the device is given back.

use crate::bus::Bus;
use crate::machine::Machine;

/// Where it is kept whose devices were, a file for each, by its address. Like the overrides themselves these are gone after a restart.
const FOLDER: &str = "/run/kp";

/// Where the kernel is told to look for a device's driver anew.
const PROBE: &str = "/sys/bus/pci/drivers_probe";

/// What a device was before it was taken.
pub(crate) struct Before {
    address: String,
    /// Who alone was to have it.
    promised_to: Option<String>,
    /// Whether it was kept for the driver already.
    kept: bool,
    /// Who had it.
    pub driver: Option<String>,
}

fn override_of(address: &str) -> String {
    format!("/sys/bus/pci/devices/{address}/driver_override")
}

fn record_of(address: &str) -> String {
    format!("{FOLDER}/{address}")
}

/// Keeps the name of the driver that alone was to have a device. Fails if it cannot: it would be lost then.
fn record(machine: &dyn Machine, address: &str, promised_to: Option<&str>) -> std::io::Result<()> {
    let file = record_of(address);
    match promised_to {
        None if machine.has(&file) => machine.remove_file(&file),
        None => Ok(()),
        Some(name) => {
            if !machine.has(FOLDER) {
                machine.make_folder(FOLDER)?;
            }
            machine.write(&file, name.as_bytes())
        }
    }
}

/// Forgets it again. What stays is written anew when the device is taken the next time.
fn forget(machine: &dyn Machine, address: &str) {
    let _ = machine.remove_file(&record_of(address));
    let _ = machine.remove_folder(FOLDER);
}

/// What a device's override is set to when it is given back.
fn before(machine: &dyn Machine, address: &str) -> Option<String> {
    machine.text(&record_of(address)).filter(|name| !name.is_empty())
}

/// Has a driver take the device at an address from whoever has it. What came of it is to be looked at.
pub(crate) fn take(machine: &dyn Machine, driver: &str, address: &str) -> Before {
    let device = Bus(&machine.at("/sys")).devices().into_iter().find(|device| device.address() == address);
    let promised_to = device.as_ref().and_then(|device| device.promised_to());
    let before = Before {
        address: address.to_owned(),
        kept: promised_to.as_deref() == Some(driver),
        promised_to,
        driver: device.and_then(|device| device.driver()),
    };
    // Where one of these fails the device is not the driver's afterwards, and who has it says more than an error number.
    if !before.kept && record(machine, address, before.promised_to.as_deref()).is_err() {
        return before;
    }
    let _ = machine.set(&override_of(address), driver);
    if before.driver.is_some() {
        let _ = machine.set(&format!("/sys/bus/pci/devices/{address}/driver/unbind"), address);
    }
    let _ = machine.set(PROBE, address);
    before
}

/// Has a module's driver take each device that it is made for, and has not, from whoever has it. What came of it is to be looked at.
pub fn take_all(machine: &dyn Machine, module: &str, aliases: &[String]) {
    let sys = machine.at("/sys");
    let bus = Bus(&sys);
    let driver = bus.driver_of(module);
    for device in bus.made_for(aliases).iter().filter(|device| !device.is_of(module)) {
        take(machine, &driver, &device.address());
    }
}

/// Undoes [`take`], of which nothing came.
pub(crate) fn undo(machine: &dyn Machine, before: &Before) {
    let _ = machine.set(&override_of(&before.address), before.promised_to.as_deref().unwrap_or("\n"));
    if !before.kept {
        forget(machine, &before.address);
    }
    if before.driver.is_some() {
        let _ = machine.set(PROBE, &before.address);
    }
}

/// The addresses of the devices that are kept for a driver by its name.
pub(crate) fn kept(machine: &dyn Machine, driver: &str) -> Vec<String> {
    let devices = Bus(&machine.at("/sys")).devices().into_iter();
    devices.filter(|device| device.promised_to().as_deref() == Some(driver)).map(|device| device.address()).collect()
}

/// How a device's override is set to what it was, for a person.
fn setting(machine: &dyn Machine, address: &str) -> String {
    let file = override_of(address);
    match before(machine, address) {
        Some(name) => format!("write {name} to {file}"),
        None => format!("clear {file}"),
    }
}

/// What [`give_back`] does, for a person.
pub(crate) fn steps(machine: &dyn Machine, driver: &str) -> Vec<String> {
    let of = |address: String| [setting(machine, &address), format!("write {address} to {PROBE}")];
    kept(machine, driver).into_iter().flat_map(of).collect()
}

/// Lets those have the devices again that could before they were kept for a driver which is gone: any driver, or the one that each was kept for
/// then. Has the kernel look for their drivers, and tells `progress` who has them. Fails with the step that failed; a device whose driver could not
/// be looked for is kept as before.
pub(crate) fn give_back(
    machine: &dyn Machine,
    driver: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<(), (String, String)> {
    for address in kept(machine, driver) {
        let file = override_of(&address);
        let name = before(machine, &address);
        machine
            .set(&file, name.as_deref().unwrap_or("\n"))
            .map_err(|error| (setting(machine, &address), error.to_string()))?;
        if let Err(error) = machine.set(PROBE, &address) {
            let _ = machine.set(&file, driver);
            return Err((format!("write {address} to {PROBE}"), error.to_string()));
        }
        forget(machine, &address);
        let devices = Bus(&machine.at("/sys")).devices().into_iter();
        let has_it = devices.filter(|device| device.address() == address).find_map(|device| device.driver());
        progress(&match has_it {
            Some(driver) => format!("{address} is given back: `{driver}` has it"),
            None => match name {
                Some(name) => format!("{address} is given back: no driver has taken it, and `{name}` alone may"),
                None => format!("{address} is given back: no driver has taken it"),
            },
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn each_device_that_a_module_is_made_for_is_taken_from_its_driver() {
        let fake = Fake::new();
        fake.load("kp-card");
        for (address, driver) in
            [("0000:00:03.0", Some("nvme")), ("0000:00:04.0", Some("kp_card")), ("0000:00:05.0", Some("vfio-pci"))]
        {
            fake.device(address, "pci:v00001234d000011E8sv00001AF4sd00001100bc00sc00i00\n", driver);
        }
        let before = fake.operations.get();
        take_all(&fake, "kp_card", &["pci:v00001234d000011E8sv*sd*bc*sc*i*".to_owned()]);
        let sys = fake.at("/sys");
        assert_eq!(Bus(&sys).bound("kp_card").len(), 3);
        assert_eq!(kept(&fake, "kp_card"), ["0000:00:03.0", "0000:00:05.0"], "the third was its own");
        assert_eq!(fake.operations.get() - before, 6);
    }
}
