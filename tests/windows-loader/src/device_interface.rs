//! Device interfaces: registered under a name that leads to the bus's device, and enabled and disabled by the driver.
use crate::{
    bus::Device,
    kernel::lock,
    nt::{NtStatus, STATUS_OBJECT_NAME_EXISTS, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS},
    objects::Objects,
    rule::{Broken, Rule},
    slot::{Place, Slot},
};
use std::mem;

/// GUID.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Guid {
    a: u32,
    b: u16,
    c: u16,
    d: [u8; 8],
}

/// A device interface that was registered.
pub(crate) struct Interface {
    /// The bus's device.
    pdo: usize,
    /// As it was registered.
    name: String,
    is_enabled: bool,
    /// Its driver has disabled it since it was enabled last.
    was_disabled: bool,
}

/// The name of an interface of this class, of the device in a slot.
pub(crate) fn name(slot: &Slot, &Guid { a, b, c, d }: &Guid) -> String {
    let identity = slot.identity();
    let Place { bus, device, function } = slot.place();
    let (vendor, id, at) = (identity.vendor, identity.device, device << 3 | function);
    let [d0, d1, rest @ ..] = d;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let class = format!("{a:08x}-{b:04x}-{c:04x}-{d0:02x}{d1:02x}-{rest}");
    format!(r"\??\PCI#VEN_{vendor:04X}&DEV_{id:04X}&SUBSYS_11001AF4&REV_10#{bus}&2411e6fe&0&{at:02X}#{{{class}}}")
}

/// Its name among links.
fn key(name: &str) -> String {
    name.to_lowercase().replacen(r"\??\", r"\dosdevices\", 1)
}

impl Objects {
    /// An interface is registered; that lasts as long as the machine.
    ///
    /// "If the specified interface is already registered, the I/O manager passes its name in SymbolicLinkName and returns the informational
    /// success status STATUS_OBJECT_NAME_EXISTS" ("IoRegisterDeviceInterface function (wdm.h)").
    pub(crate) fn register(&mut self, pdo: usize, name: String) -> NtStatus {
        if let Some(known) = self.interfaces.get_mut(&key(&name)) {
            known.pdo = pdo;
            return STATUS_OBJECT_NAME_EXISTS;
        }
        self.interfaces.insert(key(&name), Interface { pdo, name, is_enabled: false, was_disabled: false });
        STATUS_SUCCESS
    }

    /// Its driver enables or disables it.
    ///
    /// "if the driver calls IoSetDeviceInterfaceState to disable a device interface instance in response to an IRP_MN_SURPRISE_REMOVAL IRP, the
    /// driver must not attempt to disable the same device interface instance in response to an IRP_MN_REMOVE_DEVICE IRP"
    /// ("IoSetDeviceInterfaceState function (wdm.h)").
    pub(crate) fn enable(&mut self, name: &str, enable: bool) -> Result<NtStatus, Broken> {
        let Some(interface) = self.interfaces.get_mut(&key(name)) else {
            let what = format!("IoSetDeviceInterfaceState: {name:?} is no device interface that was registered");
            return Err(Rule::InterfaceRegistered.broken(what));
        };
        match (enable, interface.is_enabled) {
            (true, true) => Ok(STATUS_OBJECT_NAME_EXISTS),
            (false, false) if interface.was_disabled => {
                Err(Rule::InterfaceDisabledOnce.broken(format!("IoSetDeviceInterfaceState: {name} is disabled twice")))
            }
            (false, false) => Ok(STATUS_OBJECT_NAME_NOT_FOUND),
            _ => {
                (interface.is_enabled, interface.was_disabled) = (enable, !enable);
                Ok(STATUS_SUCCESS)
            }
        }
    }

    /// The bus's device that an enabled interface leads to, and what is behind its name: "Applications and other system components can open
    /// only interfaces that are enabled" ("IoSetDeviceInterfaceState function (wdm.h)").
    pub(crate) fn through_interface(&self, path: &str) -> Option<(usize, String)> {
        let enabled = self.interfaces.iter().filter(|(_, interface)| interface.is_enabled);
        enabled.into_iter().find_map(|(name, interface)| Some((interface.pdo, crate::objects::behind(path, name)?)))
    }

    /// Interfaces that are enabled.
    pub(crate) fn enabled_interfaces(&self) -> impl Iterator<Item = &str> {
        self.interfaces.values().filter(|interface| interface.is_enabled).map(|interface| &*interface.name)
    }
}

impl Device {
    /// The path of its device interface as apps find it, if it is enabled.
    pub fn interface(&self) -> Option<String> {
        let objects = lock(&self.kernel.objects);
        let own = objects.interfaces.values().find(|interface| interface.pdo == self.pdo && interface.is_enabled)?;
        Some(own.name.replacen(r"\??\", r"\\?\", 1))
    }

    /// The device has left its stack: the plug-and-play manager disables what its driver should have disabled ("Enabling and Disabling a Device
    /// Interface Instance"). Disabling one may have been failed on purpose.
    pub(crate) fn disable_interfaces(&self) {
        let mut left = Vec::new();
        for interface in lock(&self.kernel.objects).interfaces.values_mut() {
            if interface.pdo == self.pdo && mem::take(&mut interface.is_enabled) {
                left.push(interface.name.clone());
            }
        }
        if let Some(name) = left.first().filter(|_| !self.kernel.faults.are_planned()) {
            let what = format!("the device interface {name} is enabled after REMOVE_DEVICE");
            self.check(Err(Rule::InterfaceDisabled.broken(what)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_leads_to_its_device_while_it_is_enabled() {
        let mut objects = Objects::default();
        let name = r"\??\PCI#One#{a}";
        assert!(objects.enable(name, true).is_err(), "it was not registered");
        assert_eq!(objects.register(1, name.to_owned()), STATUS_SUCCESS);
        assert_eq!(objects.enable(name, false), Ok(STATUS_OBJECT_NAME_NOT_FOUND), "it was never enabled");
        assert!(objects.resolve(r"\\?\pci#one#{A}").is_err());
        assert_eq!(objects.enable(name, true), Ok(STATUS_SUCCESS));
        assert_eq!(objects.enable(name, true), Ok(STATUS_OBJECT_NAME_EXISTS));
        assert_eq!(objects.resolve(r"\\?\pci#one#{A}"), Ok((1, String::new())));
        assert_eq!(objects.resolve(r"\\.\PCI#One#{a}\").map(|(_, behind)| behind), Ok(r"\".to_owned()));
        assert!(objects.resolve(r"\\?\pci#one#{a}b").is_err());
        assert_eq!(objects.enable(name, false), Ok(STATUS_SUCCESS));
        assert!(objects.resolve(r"\\?\pci#one#{a}").is_err());
        assert!(objects.enable(name, false).is_err(), "it is disabled twice");
        // The device is found again.
        assert_eq!(objects.register(2, name.to_owned()), STATUS_OBJECT_NAME_EXISTS);
        assert_eq!(objects.enable(name, true), Ok(STATUS_SUCCESS));
        assert_eq!(objects.resolve(r"\\?\PCI#One#{a}"), Ok((2, String::new())));
    }
}
