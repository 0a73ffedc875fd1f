//! Devices that a plugin has by name: `kp load --take` takes them from another driver, and what removes the plugin gives them back.
//!
//! A device's `driver_override` names the only driver that may have it, and outlives that driver's module.

use crate::bus::Bus;
use crate::machine::Machine;

/// Where the kernel is told to look for a device's driver anew.
const PROBE: &str = "/sys/bus/pci/drivers_probe";

/// What a device was before it was taken.
pub(crate) struct Before {
    address: String,
    /// Who alone was to have it.
    promised_to: Option<String>,
    /// Who had it.
    pub driver: Option<String>,
}

fn override_of(address: &str) -> String {
    format!("/sys/bus/pci/devices/{address}/driver_override")
}

/// Has a driver take the device at an address from whoever has it. What came of it is to be looked at.
pub(crate) fn take(machine: &dyn Machine, driver: &str, address: &str) -> Before {
    let device = Bus(&machine.at("/sys")).devices().into_iter().find(|device| device.address() == address);
    let before = Before {
        address: address.to_owned(),
        promised_to: device.as_ref().and_then(|device| device.promised_to()),
        driver: device.and_then(|device| device.driver()),
    };
    // Where one of these fails the device is not the driver's afterwards, and who has it says more than an error number.
    let _ = machine.set(&override_of(address), driver);
    if before.driver.is_some() {
        let _ = machine.set(&format!("/sys/bus/pci/devices/{address}/driver/unbind"), address);
    }
    let _ = machine.set(PROBE, address);
    before
}

/// Undoes [`take`], of which nothing came.
pub(crate) fn undo(machine: &dyn Machine, before: &Before) {
    let _ = machine.set(&override_of(&before.address), before.promised_to.as_deref().unwrap_or("\n"));
    if before.driver.is_some() {
        let _ = machine.set(PROBE, &before.address);
    }
}

/// The addresses of the devices that are kept for a driver by its name.
pub(crate) fn kept(machine: &dyn Machine, driver: &str) -> Vec<String> {
    let devices = Bus(&machine.at("/sys")).devices().into_iter();
    devices.filter(|device| device.promised_to().as_deref() == Some(driver)).map(|device| device.address()).collect()
}

/// What [`give_back`] does, for a person.
pub(crate) fn steps(machine: &dyn Machine, driver: &str) -> Vec<String> {
    let of = |address: String| [format!("clear {}", override_of(&address)), format!("write {address} to {PROBE}")];
    kept(machine, driver).into_iter().flat_map(of).collect()
}

/// Lets any driver have the devices again that were kept for one which is gone, and has the kernel look for theirs. `progress` is told who has
/// them. Fails with the step that failed; a device whose driver could not be looked for is kept as before.
pub(crate) fn give_back(
    machine: &dyn Machine,
    driver: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<(), (String, String)> {
    for address in kept(machine, driver) {
        let file = override_of(&address);
        machine.set(&file, "\n").map_err(|error| (format!("clear {file}"), error.to_string()))?;
        if let Err(error) = machine.set(PROBE, &address) {
            let _ = machine.set(&file, driver);
            return Err((format!("write {address} to {PROBE}"), error.to_string()));
        }
        let devices = Bus(&machine.at("/sys")).devices().into_iter();
        let has_it = devices.filter(|device| device.address() == address).find_map(|device| device.driver());
        progress(&match has_it {
            Some(driver) => format!("{address} is given back: `{driver}` has it"),
            None => format!("{address} is given back: no driver has taken it"),
        });
    }
    Ok(())
}
