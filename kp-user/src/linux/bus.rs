//! Why a device has no node: whether it is on the bus, and who has it.
use crate::{BusAddress, Cause};
use std::{
    fs::{self, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What a module says of a device that its plugin's `init` has refused, behind its name. The Linux port writes the line.
const REFUSED: &str = ": init refused the device: ";
/// What it says last.
const UNLOADED: &str = ": unloaded;";
/// An id that any device has.
const ANY: u32 = u32::MAX;

/// Where the kernel shows the bus, and its log.
pub(super) struct Bus<'a> {
    /// Devices and drivers, each a folder.
    pub bus: &'a Path,
    /// Records of the log. Few may read them.
    pub log: &'a Path,
}

impl Bus<'static> {
    pub(super) fn system() -> Self {
        Self { bus: Path::new("/sys/bus/pci"), log: Path::new("/dev/kmsg") }
    }
}

impl Bus<'_> {
    /// Why a plugin has no node, whose module is loaded. `None` if there is nothing to be seen, or if one of its devices is bound.
    pub(super) fn why_none(&self, module: &str) -> Option<Cause> {
        let ids = fs::read_to_string(self.bus.join("drivers").join(module).join("ids")).ok()?;
        let mut devices: Vec<PathBuf> =
            fs::read_dir(self.bus.join("devices")).ok()?.flatten().map(|entry| entry.path()).collect();
        devices.retain(|device| ids.lines().any(|id| has_id(device, id)));
        devices.sort();
        if devices.is_empty() {
            return Some(Cause::NotOnBus);
        }
        if devices.iter().any(|device| driver(device).as_deref() == Some(module)) {
            return None;
        }
        // One that the module was asked to take says more than one that it never saw.
        let refused = devices.iter().find(|device| driver(device).is_none() && promised_to(device, module).is_none());
        match refused {
            Some(device) => Some(Cause::InitRefused { address: address(device)?, status: self.status(module) }),
            None => held(&devices[0], module),
        }
    }

    /// Why no plugin has the device at this address, if that is because of a driver that is no plugin.
    pub(super) fn why_not_at(&self, address: BusAddress, module: &str) -> Option<Cause> {
        let device = self.bus.join("devices").join(address.to_string());
        held(&device, module).filter(|_| !driver(&device).is_some_and(|driver| driver.starts_with("kp_")))
    }

    /// What `init` has answered, by the log.
    fn status(&self, module: &str) -> Option<String> {
        let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(self.log).ok()?;
        let mut status = None;
        let mut record = [0; 8192];
        // The kernel gives one record for each read(2), and then none: EAGAIN.
        loop {
            let len = match log.read(&mut record) {
                Ok(len @ 1..) => len,
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => continue,
                _ => return status,
            };
            for line in String::from_utf8_lossy(&record[..len]).lines() {
                let Some(text) = line.split_once(';').and_then(|(_, text)| text.strip_prefix(module)) else { continue };
                if let Some(said) = text.strip_prefix(REFUSED) {
                    status = Some(said.to_owned());
                } else if text.starts_with(UNLOADED) {
                    status = None;
                }
            }
        }
    }
}

/// Another driver has the device, or may have it alone.
fn held(device: &Path, module: &str) -> Option<Cause> {
    let driver = driver(device).filter(|driver| driver != module);
    let promised_to = promised_to(device, module);
    if driver.is_none() && promised_to.is_none() {
        return None;
    }
    Some(Cause::Held { address: address(device)?, driver, promised_to })
}

/// Whether a device is one of an id's, given as `new_id` takes it.
fn has_id(device: &Path, id: &str) -> bool {
    let mut fields = id.split(' ').map(|digits| u32::from_str_radix(digits, 16).ok());
    let mut next = || fields.next().flatten();
    let (Some(vendor), Some(number), Some(by), Some(card), Some(class), Some(mask)) =
        (next(), next(), next(), next(), next(), next())
    else {
        return false;
    };
    let is = |file, id| id == ANY || says(device, file) == Some(id);
    is("vendor", vendor)
        && is("device", number)
        && is("subsystem_vendor", by)
        && is("subsystem_device", card)
        && says(device, "class").is_some_and(|own| own & mask == class)
}

/// The number in one of a device's files.
fn says(device: &Path, file: &str) -> Option<u32> {
    u32::from_str_radix(fs::read_to_string(device.join(file)).ok()?.trim().strip_prefix("0x")?, 16).ok()
}

fn address(device: &Path) -> Option<BusAddress> {
    device.file_name()?.to_str()?.parse().ok()
}

/// The driver that has a device.
fn driver(device: &Path) -> Option<String> {
    Some(fs::read_link(device.join("driver")).ok()?.file_name()?.to_str()?.to_owned())
}

/// The driver that alone may have a device, if it is not this one.
fn promised_to(device: &Path, module: &str) -> Option<String> {
    let text = fs::read_to_string(device.join("driver_override")).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty() && name != "(null)" && name != module)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenError;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// A `/sys/bus/pci` that goes away with its test, and a log.
    struct Machine(TempDir);

    impl Machine {
        fn new() -> Self {
            let folder = TempDir::with_prefix("kp-").unwrap();
            let root = folder.path();
            fs::create_dir_all(root.join("devices")).unwrap();
            fs::create_dir_all(root.join("drivers/kp_edu")).unwrap();
            let ids = "1234 11e8 ffffffff ffffffff 0 0\nffffffff ffffffff ffffffff ffffffff 10800 ffff00\n";
            fs::write(root.join("drivers/kp_edu/ids"), ids).unwrap();
            Self(folder)
        }

        fn device(self, address: &str, id: [&str; 3], has: Option<&str>, promised_to: &str) -> Self {
            let device = self.0.path().join("devices").join(address);
            fs::create_dir(&device).unwrap();
            let [vendor, number, class] = id;
            let files = [("vendor", vendor), ("device", number), ("class", class), ("subsystem_vendor", "0x1af4")];
            for (file, text) in
                [&files[..], &[("subsystem_device", "0x1100"), ("driver_override", promised_to)]].concat()
            {
                fs::write(device.join(file), format!("{text}\n")).unwrap();
            }
            if let Some(driver) = has {
                symlink(format!("../../../../bus/pci/drivers/{driver}"), device.join("driver")).unwrap();
            }
            self
        }

        fn bus<R>(&self, look: impl FnOnce(Bus<'_>) -> R) -> R {
            look(Bus { bus: self.0.path(), log: &self.0.path().join("log") })
        }

        fn why(&self) -> Option<String> {
            self.bus(|bus| bus.why_none("kp_edu")).map(text)
        }
    }

    fn text(cause: Cause) -> String {
        let text = OpenError { place: "edu".into(), plugin: Some("edu".into()), cause }.to_string();
        text.strip_prefix("edu: no device node: ").unwrap().to_owned()
    }

    const EDU: [&str; 3] = ["0x1234", "0x11e8", "0x00ff00"];
    const NVME: [&str; 3] = ["0x1b36", "0x0010", "0x010802"];

    #[test]
    fn a_device_that_is_not_on_the_bus_is_told_from_one_that_another_driver_has() {
        let machine = Machine::new().device("0000:00:02.0", ["0x8086", "0x100e", "0x020000"], Some("e1000"), "(null)");
        assert_eq!(machine.why().as_deref(), Some("no device that kp_edu drives is on the bus: see `lspci -nn`"));
        let machine = machine.device("0000:00:08.0", NVME, Some("nvme"), "(null)");
        let unbind = "`echo 0000:00:08.0 > /sys/bus/pci/devices/0000:00:08.0/driver/unbind`";
        let take = "`kp load edu --take 0000:00:08.0`";
        let bind = "then `echo 0000:00:08.0 > /sys/bus/pci/drivers/kp_edu/bind`";
        assert_eq!(machine.why(), Some(format!("driver nvme has 0000:00:08.0: {take}, or {unbind}, {bind}")));
        let at = |address: &str| {
            let address = address.parse().unwrap();
            machine.bus(|bus| bus.why_not_at(address, "kp_edu")).map(text)
        };
        assert_eq!(at("0000:00:08.0"), machine.why());
        assert_eq!(at("0000:00:09.0"), None, "there is none");
    }

    #[test]
    fn a_device_that_is_kept_for_a_driver_by_name_is_told_with_that_name_and_how_to_free_it() {
        let free = "`echo > /sys/bus/pci/devices/0000:00:08.0/driver_override`";
        let take = "`kp load edu --take 0000:00:08.0`";
        let bind = "then `echo 0000:00:08.0 > /sys/bus/pci/drivers/kp_edu/bind`";
        let machine = Machine::new().device("0000:00:08.0", EDU, None, "vfio-pci");
        assert_eq!(
            machine.why(),
            Some(format!("driver_override of 0000:00:08.0 is set to vfio-pci: {take}, or {free}, {bind}"))
        );
        let machine = Machine::new().device("0000:00:08.0", EDU, Some("vfio-pci"), "vfio-pci");
        let unbind = "`echo 0000:00:08.0 > /sys/bus/pci/devices/0000:00:08.0/driver/unbind`";
        assert_eq!(
            machine.why(),
            Some(format!(
                "driver vfio-pci has 0000:00:08.0, and driver_override of it is set to vfio-pci: {take}, or {free}, {unbind}, {bind}"
            ))
        );
    }

    #[test]
    fn a_device_that_init_refused_is_told_with_the_status_of_this_load_if_the_log_may_be_read() {
        let machine = Machine::new().device("0000:00:04.0", EDU, None, "(null)");
        let unknown =
            "no driver has 0000:00:04.0, though kp_edu is loaded: `init` refused it, or it was unbound; see `dmesg`";
        assert_eq!(machine.why().as_deref(), Some(unknown));
        let before =
            "6,1,1,-;kp_edu: init refused the device: Busy\n SUBSYSTEM=pci\n6,2,1,-;kp_edu: unloaded; live: 0\n";
        fs::write(machine.0.path().join("log"), before).unwrap();
        assert_eq!(machine.why().as_deref(), Some(unknown), "that was another load's");
        let now = "6,3,1,-;kp_edu: init refused the device: WrongDevice\n6,4,1,-;kp_x: init refused the device: Busy\n";
        fs::write(machine.0.path().join("log"), format!("{before}{now}")).unwrap();
        assert_eq!(machine.why().as_deref(), Some("`init` refused 0000:00:04.0: WrongDevice: see `dmesg`"));
        let machine = machine.device("0000:00:05.0", EDU, Some("kp_edu"), "(null)");
        assert_eq!(machine.why(), None, "one is bound");
    }
}
