//! The PCI bus as sysfs shows it: which devices a module is made for, who has them, and how its driver takes them.

use crate::pattern::fits;
use std::fs;
use std::path::{Path, PathBuf};

/// What a module says of a device that its plugin's `init` has refused, behind its name. The Linux port writes the line.
const REFUSED: &str = "init refused the device: ";

/// Where the kernel shows its devices and modules: `/sys`, but in tests.
pub struct Bus<'a>(pub &'a Path);

/// A device on the bus.
pub struct Device {
    path: PathBuf,
}

/// Why a module has no device, though it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unbound {
    /// None that it is made for is there.
    NotOnBus,
    /// Another driver has this device.
    Held {
        /// As in `0000:00:04.0 (1234:11e8)`.
        device: String,
        /// Who has it.
        driver: String,
    },
    /// Another driver alone may have this device: its `driver_override` says so.
    Promised {
        /// As in `0000:00:04.0 (1234:11e8)`.
        device: String,
        /// Who may have it.
        driver: String,
    },
    /// The plugin's `init` did not want this device.
    Refused {
        /// As in `0000:00:04.0 (1234:11e8)`.
        device: String,
        /// What it answered.
        status: String,
    },
    /// The kernel did not bind this device.
    Failed {
        /// As in `0000:00:04.0 (1234:11e8)`.
        device: String,
        /// The line of its log.
        line: String,
    },
    /// No driver has this device, and the log does not say why.
    Unclaimed {
        /// As in `0000:00:04.0 (1234:11e8)`.
        device: String,
    },
}

impl Bus<'static> {
    /// This machine's.
    pub fn system() -> Self {
        Bus(Path::new("/sys"))
    }
}

impl Bus<'_> {
    /// Whether a PCI device's driver is this module's. A driver has a device once its probe function has succeeded.
    pub fn is_bound(&self, module: &str) -> bool {
        !self.bound(module).is_empty()
    }

    /// The devices that the module's driver has.
    pub fn bound(&self, module: &str) -> Vec<Device> {
        self.devices().into_iter().filter(|device| device.is_of(module)).collect()
    }

    /// Whether the module may get one without anybody's doing: a device that no driver has may be about to get one.
    pub fn is_binding(&self, aliases: &[String]) -> bool {
        self.made_for(aliases).iter().any(|device| device.driver().is_none())
    }

    /// Why the module has no device, given the lines of the kernel's log.
    pub fn why_unbound(&self, module: &str, aliases: &[String], log: &[String]) -> Unbound {
        let devices = self.made_for(aliases);
        // One that the module was asked to take says more than one that it never saw.
        let free = devices.iter().find(|device| device.driver().is_none() && device.promised_to().is_none());
        match free.or(devices.first()) {
            Some(device) => self.why_not(module, device, log),
            None => Unbound::NotOnBus,
        }
    }

    /// Why the module has not this device, for which it is made.
    pub(crate) fn why_not(&self, module: &str, found: &Device, log: &[String]) -> Unbound {
        let device = found.to_string();
        match (found.driver(), found.promised_to()) {
            (Some(driver), _) => Unbound::Held { device, driver },
            (None, Some(driver)) if driver != self.driver_of(module) => Unbound::Promised { device, driver },
            (None, _) => {
                let refused = |line: &String| Some(line.strip_prefix(module)?.strip_prefix(": ")?.to_owned());
                let address = found.address();
                let failed = |line: &&String| line.contains(&address) && line.contains("failed with error");
                match log.iter().rev().find_map(|line| Some(refused(line)?.strip_prefix(REFUSED)?.to_owned())) {
                    Some(status) => Unbound::Refused { device, status },
                    None => match log.iter().rev().find(failed) {
                        Some(line) => Unbound::Failed { device, line: line.clone() },
                        None => Unbound::Unclaimed { device },
                    },
                }
            }
        }
    }

    /// The name of a module's PCI driver.
    pub fn driver_of(&self, module: &str) -> String {
        let names = fs::read_dir(self.0.join(format!("module/{module}/drivers"))).into_iter().flatten().flatten();
        let mut names = names.filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("pci:")?.to_owned()));
        names.next().unwrap_or_else(|| module.to_owned())
    }

    /// All devices, by address.
    pub fn devices(&self) -> Vec<Device> {
        let entries = fs::read_dir(self.0.join("bus/pci/devices")).into_iter().flatten().flatten();
        let mut devices: Vec<Device> = entries.map(|entry| Device { path: entry.path() }).collect();
        devices.sort_by(|one, other| one.path.cmp(&other.path));
        devices
    }

    /// Those that a module's aliases fit, as the kernel compares them.
    pub fn made_for(&self, aliases: &[String]) -> Vec<Device> {
        let fit = |device: &Device| aliases.iter().any(|alias| fits(alias, &device.says("modalias")));
        self.devices().into_iter().filter(fit).collect()
    }
}

impl Device {
    /// As in `0000:00:04.0`.
    pub fn address(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// What one of its files says. Nothing if there is no such file.
    pub fn says(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap_or_default().trim().to_owned()
    }

    /// The name of the driver that has it.
    pub fn driver(&self) -> Option<String> {
        let driver = fs::read_link(self.path.join("driver")).ok()?;
        Some(driver.file_name()?.to_string_lossy().into_owned())
    }

    /// The name of the only driver that may take it.
    pub fn promised_to(&self) -> Option<String> {
        Some(self.says("driver_override")).filter(|name| !name.is_empty() && name != "(null)")
    }

    /// Whether a module's driver has it.
    pub fn is_of(&self, module: &str) -> bool {
        fs::read_link(self.path.join("driver/module")).is_ok_and(|found| found.ends_with(module))
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = |file| self.says(file).trim_start_matches("0x").to_owned();
        write!(f, "{} ({}:{})", self.address(), id("vendor"), id("device"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// A `/sys` that goes away with its test.
    struct Sys(TempDir);

    impl Sys {
        fn new() -> Self {
            let sys = Sys(TempDir::with_prefix("kp-").unwrap());
            fs::create_dir_all(sys.join("bus/pci/devices")).unwrap();
            fs::create_dir_all(sys.join("module/kp_card/drivers/pci:kp_card")).unwrap();
            sys
        }

        fn join(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn device(&self, address: &str, driver: Option<&str>, promised_to: &str) {
            let device = self.join("bus/pci/devices").join(address);
            fs::create_dir(&device).unwrap();
            let alias = "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02\n";
            for (file, text) in [("modalias", alias), ("vendor", "0x1b36\n"), ("device", "0x0010\n")] {
                fs::write(device.join(file), text).unwrap();
            }
            fs::write(device.join("driver_override"), promised_to).unwrap();
            if let Some(driver) = driver {
                let folder = self.join("bus/pci/drivers").join(driver);
                fs::create_dir_all(&folder).unwrap();
                symlink(self.join("module").join(driver), folder.join("module")).unwrap();
                symlink(folder, device.join("driver")).unwrap();
            }
        }

        fn why(&self, log: &[&str]) -> Unbound {
            let log: Vec<String> = log.iter().map(|&line| line.to_owned()).collect();
            Bus(self.0.path()).why_unbound("kp_card", &aliases(), &log)
        }
    }

    fn aliases() -> [String; 1] {
        ["pci:v00001B36d00000010sv*sd*bc*sc*i*".to_owned()]
    }

    #[test]
    fn a_module_without_a_device_is_told_whether_none_is_there_another_driver_has_it_or_init_refused_it() {
        let sys = Sys::new();
        assert_eq!(sys.why(&[]), Unbound::NotOnBus);
        sys.device("0000:00:03.0", Some("nvme"), "(null)\n");
        assert!(!Bus(sys.0.path()).is_bound("kp_card"));
        let held = "0000:00:03.0 (1b36:0010)".to_owned();
        assert_eq!(sys.why(&[]), Unbound::Held { device: held, driver: "nvme".into() });
        sys.device("0000:00:04.0", None, "(null)\n");
        let device = "0000:00:04.0 (1b36:0010)".to_owned();
        assert_eq!(
            sys.why(&["kp_other: init refused the device: Busy", "kp_card: init refused the device: WrongDevice"]),
            Unbound::Refused { device: device.clone(), status: "WrongDevice".into() }
        );
        let line = "kp_card: probe of 0000:00:04.0 failed with error -16";
        assert_eq!(sys.why(&[line]), Unbound::Failed { device: device.clone(), line: line.into() });
        assert_eq!(sys.why(&[]), Unbound::Unclaimed { device });
    }

    #[test]
    fn a_device_that_is_kept_for_a_driver_by_name_is_told_with_the_name() {
        let sys = Sys::new();
        sys.device("0000:00:03.0", None, "vfio-pci\n");
        let device = "0000:00:03.0 (1b36:0010)".to_owned();
        assert_eq!(sys.why(&[]), Unbound::Promised { device, driver: "vfio-pci".into() });
    }
}
