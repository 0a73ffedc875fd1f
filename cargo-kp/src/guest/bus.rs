//! The PCI bus as sysfs shows it: which devices a module is made for, who has them, and how its driver takes them.

use super::plan::Wanted;
use crate::vm::pattern::fits;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What a module says of a device that its plugin's `init` has refused, behind its name. The Linux port writes the line.
const REFUSED: &str = "init refused the device: ";

/// Where the kernel shows its devices and modules: `/sys`, but in tests.
pub(super) struct Bus<'a>(pub &'a Path);

/// A device that a module is made for.
struct Device {
    path: PathBuf,
}

impl Bus<'static> {
    /// The guest's.
    pub(super) fn system() -> Self {
        Bus(Path::new("/sys"))
    }
}

impl Bus<'_> {
    /// Whether a PCI device's driver is this module's. A driver has a device once its probe function has succeeded.
    pub(super) fn is_bound(&self, wanted: &Wanted) -> bool {
        self.devices().iter().any(|device| device.is_of(&wanted.module))
    }

    /// Whether it may become so without anybody's doing: a device that no driver has may be about to get one.
    pub(super) fn is_binding(&self, wanted: &Wanted) -> bool {
        self.made_for(wanted).iter().any(|device| device.driver().is_none())
    }

    /// Has the module's driver take each device that it is made for, from whoever has it. What came of it is to be looked at.
    pub(super) fn take(&self, wanted: &Wanted) {
        let driver = self.driver_of(&wanted.module);
        for device in self.made_for(wanted).iter().filter(|device| !device.is_of(&wanted.module)) {
            // Where one of these fails the device is not the module's afterwards, and who has it says more than an error number.
            let _ = fs::write(device.path.join("driver_override"), &driver);
            let _ = fs::write(device.path.join("driver/unbind"), device.address());
            let _ = fs::write(self.0.join("bus/pci/drivers_probe"), device.address());
        }
    }

    /// Why the module has no device, and what to do, given the lines of the kernel's log.
    pub(super) fn why_unbound(&self, wanted: &Wanted, log: &[String]) -> String {
        let module = &wanted.module;
        let devices = self.made_for(wanted);
        // One that the module was asked to take says more than one that it never saw.
        let free = devices.iter().find(|device| device.driver().is_none() && device.promised_to().is_none());
        let why = match free.or(devices.first()) {
            None => format!("there is no {} on the bus; add one with --device", wanted.devices),
            Some(device) => match (device.driver(), device.promised_to()) {
                (Some(driver), _) if wanted.take => {
                    format!("driver {driver} did not let go of {device}; see the log above")
                }
                (Some(driver), _) => format!("driver {driver} has {device}; take it with --take"),
                (None, Some(driver)) if driver != self.driver_of(module) => {
                    format!("{device} is kept for {driver} by its driver_override; take it with --take")
                }
                (None, _) => {
                    let refused = |line: &String| Some(line.strip_prefix(module)?.strip_prefix(": ")?.to_owned());
                    let address = device.address();
                    let failed = |line: &&String| line.contains(&address) && line.contains("failed with error");
                    match log.iter().rev().find_map(|line| Some(refused(line)?.strip_prefix(REFUSED)?.to_owned())) {
                        Some(status) => format!("`init` refused {device}: {status}; see above what it has logged"),
                        None => match log.iter().rev().find(failed) {
                            Some(line) => format!("it did not get {device}: {line}"),
                            None => format!("no driver has {device}; see the log above"),
                        },
                    }
                }
            },
        };
        format!("{module} has no device: {why}")
    }

    /// The name of a module's PCI driver.
    fn driver_of(&self, module: &str) -> String {
        let names = fs::read_dir(self.0.join(format!("module/{module}/drivers"))).into_iter().flatten().flatten();
        let mut names = names.filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("pci:")?.to_owned()));
        names.next().unwrap_or_else(|| module.to_owned())
    }

    /// All devices, by address.
    fn devices(&self) -> Vec<Device> {
        let entries = fs::read_dir(self.0.join("bus/pci/devices")).into_iter().flatten().flatten();
        let mut devices: Vec<Device> = entries.map(|entry| Device { path: entry.path() }).collect();
        devices.sort_by(|one, other| one.path.cmp(&other.path));
        devices
    }

    /// Those that the module's aliases fit, as the kernel compares them.
    fn made_for(&self, wanted: &Wanted) -> Vec<Device> {
        let fit = |device: &Device| wanted.aliases.iter().any(|alias| fits(alias, &device.says("modalias")));
        self.devices().into_iter().filter(fit).collect()
    }
}

impl Device {
    /// As in `0000:00:04.0`.
    fn address(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What one of its files says. Nothing if there is no such file.
    fn says(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap_or_default().trim().to_owned()
    }

    /// The name of the driver that has it.
    fn driver(&self) -> Option<String> {
        let driver = fs::read_link(self.path.join("driver")).ok()?;
        Some(driver.file_name()?.to_string_lossy().into_owned())
    }

    /// The name of the only driver that may take it.
    fn promised_to(&self) -> Option<String> {
        Some(self.says("driver_override")).filter(|name| !name.is_empty() && name != "(null)")
    }

    fn is_of(&self, module: &str) -> bool {
        fs::read_link(self.path.join("driver/module")).is_ok_and(|found| found.ends_with(module))
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = |file| self.says(file).trim_start_matches("0x").to_owned();
        write!(f, "{} ({}:{})", self.address(), id("vendor"), id("device"))
    }
}

/// The lines of the kernel's log, as far as it is kept.
pub(super) fn kernel_log() -> Vec<String> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let Ok(mut log) = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg") else { return Vec::new() };
    let mut lines = Vec::new();
    // The kernel gives one record for each read(2), and none of more bytes.
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(len) => lines.extend(text_of(&String::from_utf8_lossy(&record[..len]))),
            // A record was overwritten meanwhile; the next read gives the one after it.
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(_) => return lines,
        }
    }
}

/// The text of `6,339,5140900,-;text`, behind which there may be lines of other properties.
fn text_of(record: &str) -> Option<String> {
    Some(record.split_once(';')?.1.lines().next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A `/sys` that goes away with its test.
    struct Sys(PathBuf);

    impl Sys {
        fn new(test: &str) -> Self {
            let root = std::env::temp_dir().join(format!("kp-bus-{}-{test}", std::process::id()));
            fs::create_dir_all(root.join("bus/pci/devices")).unwrap();
            fs::create_dir_all(root.join("module/kp_card/drivers/pci:kp_card")).unwrap();
            Sys(root)
        }

        fn device(&self, address: &str, driver: Option<&str>, promised_to: &str) {
            let device = self.0.join("bus/pci/devices").join(address);
            fs::create_dir(&device).unwrap();
            let alias = "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02\n";
            for (file, text) in [("modalias", alias), ("vendor", "0x1b36\n"), ("device", "0x0010\n")] {
                fs::write(device.join(file), text).unwrap();
            }
            fs::write(device.join("driver_override"), promised_to).unwrap();
            if let Some(driver) = driver {
                let folder = self.0.join("bus/pci/drivers").join(driver);
                fs::create_dir_all(&folder).unwrap();
                symlink(self.0.join("module").join(driver), folder.join("module")).unwrap();
                symlink(folder, device.join("driver")).unwrap();
            }
        }

        fn why(&self, log: &[&str]) -> String {
            let log: Vec<String> = log.iter().map(|&line| line.to_owned()).collect();
            Bus(&self.0).why_unbound(&wanted(), &log)
        }

        fn says(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap()
        }
    }

    impl Drop for Sys {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            module: "kp_card".into(),
            devices: "PCI device 1b36:0010".into(),
            aliases: vec!["pci:v00001B36d00000010sv*sd*bc*sc*i*".into()],
            take: false,
        }
    }

    #[test]
    fn a_module_without_a_device_is_told_whether_none_is_there_another_driver_has_it_or_init_refused_it() {
        let sys = Sys::new("why");
        assert_eq!(
            sys.why(&[]),
            "kp_card has no device: there is no PCI device 1b36:0010 on the bus; add one with --device"
        );
        sys.device("0000:00:03.0", Some("nvme"), "(null)\n");
        assert!(!Bus(&sys.0).is_bound(&wanted()));
        assert_eq!(
            sys.why(&[]),
            "kp_card has no device: driver nvme has 0000:00:03.0 (1b36:0010); take it with --take"
        );
        sys.device("0000:00:04.0", None, "(null)\n");
        assert_eq!(
            sys.why(&["kp_other: init refused the device: Busy", "kp_card: init refused the device: WrongDevice"]),
            "kp_card has no device: `init` refused 0000:00:04.0 (1b36:0010): WrongDevice; see above what it has logged"
        );
        assert_eq!(
            sys.why(&["kp_card: probe of 0000:00:04.0 failed with error -16"]),
            "kp_card has no device: it did not get 0000:00:04.0 (1b36:0010): \
             kp_card: probe of 0000:00:04.0 failed with error -16"
        );
        assert_eq!(sys.why(&[]), "kp_card has no device: no driver has 0000:00:04.0 (1b36:0010); see the log above");
    }

    #[test]
    fn a_device_that_is_kept_for_a_driver_by_name_is_told_with_the_name() {
        let sys = Sys::new("kept");
        sys.device("0000:00:03.0", None, "vfio-pci\n");
        assert_eq!(
            sys.why(&[]),
            "kp_card has no device: 0000:00:03.0 (1b36:0010) is kept for vfio-pci by its driver_override; \
             take it with --take"
        );
    }

    #[test]
    fn a_device_is_taken_from_its_driver_and_from_nobody_but_that() {
        let sys = Sys::new("take");
        sys.device("0000:00:03.0", Some("nvme"), "(null)\n");
        sys.device("0000:00:04.0", Some("kp_card"), "(null)\n");
        assert!(Bus(&sys.0).is_bound(&wanted()));
        Bus(&sys.0).take(&wanted());
        assert_eq!(sys.says("bus/pci/devices/0000:00:03.0/driver_override"), "kp_card");
        assert_eq!(sys.says("bus/pci/drivers/nvme/unbind"), "0000:00:03.0");
        assert_eq!(sys.says("bus/pci/drivers_probe"), "0000:00:03.0");
        assert_eq!(sys.says("bus/pci/devices/0000:00:04.0/driver_override"), "(null)\n");
        assert!(!sys.0.join("bus/pci/drivers/kp_card/unbind").exists());
    }

    #[test]
    fn a_record_of_the_log_is_its_first_lines_text() {
        assert_eq!(text_of("6,339,5140900,-;kp_edu: a;b\n SUBSYSTEM=pci\n").as_deref(), Some("kp_edu: a;b"));
        assert_eq!(text_of("no record"), None);
    }
}
