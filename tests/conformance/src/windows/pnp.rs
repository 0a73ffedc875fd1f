//! Drivers installed from their own INF: for a device that Plug and Play finds, without any hardware, and as a service.
use super::service::{Service, State, wide};
use super::version;
use crate::{interrupts::until, registry::guest_test};
use echo_interface::echo;
use kp_user::{Cause, Plugin};
use std::{fs, io, path::Path, ptr};
use windows_sys::{
    Win32::Devices::DeviceAndDriverInstallation::{
        DICD_GENERATE_ID, DIF_REGISTERDEVICE, DIF_REMOVE, HDEVINFO, INSTALLFLAG_FORCE, InstallHinfSectionW,
        SP_DEVINFO_DATA, SPDRP_HARDWAREID, SetupDiCallClassInstaller, SetupDiCreateDeviceInfoList,
        SetupDiCreateDeviceInfoW, SetupDiDestroyDeviceInfoList, SetupDiGetINFClassW, SetupDiSetDeviceRegistryPropertyW,
        UpdateDriverForPlugAndPlayDevicesW,
    },
    core::{BOOL, GUID},
};

/// Installs `kp-<plugin>.inf` for a device that says it is `hardware`, and has no hardware. The driver must load, and must refuse to
/// start: the device gets no name. Then the device is removed, and the driver unloads.
///
/// # Panics
/// If anything of that is not so.
#[guest_test("start-is-refused", stage = "wine")]
fn start_is_refused(plugin: &str, hardware: &str) {
    let inf = super::file(&format!("kp-{plugin}.inf"));
    let device = Device::new(&inf, hardware);
    device.install(&inf, hardware);
    let service = Service::open(plugin);
    until("the driver is loaded", || service.state() == State::Running);
    let error = Plugin::open(plugin).expect_err("a device that has not started has no name");
    assert!(matches!(error.cause, Cause::NoNode { is_loaded: true }), "{error}");
    println!("{error}");
    device.remove();
    service.stop().unwrap_or_else(|error| panic!("unload {plugin}: {error}"));
    until("the driver has unloaded", || service.state() == State::Stopped);
    println!("removed");
}

/// Installs `kp-echo.inf`, which makes a service; starts that, uses it, and stops it. The driver's file says which version it is, as the
/// INF does.
///
/// # Panics
/// If anything of that does not work.
#[guest_test("service-is-installed", stage = "wine")]
fn service_is_installed() {
    let inf = super::file("kp-echo.inf");
    let said = fs::read_to_string(&inf).expect("an INF in ASCII");
    let driver_ver = said.lines().find(|line| line.starts_with("DriverVer = ")).expect("a version in the INF");
    let version = version::text(&super::file("kp-echo.sys"), "FileVersion");
    assert_eq!(driver_ver.split_once(',').map(|(_, version)| version), Some(version.as_str()));
    // 128: a file that is in use does not have the machine restarted.
    let section = wide(format!("DefaultInstall 128 {}", inf.display()));
    // SAFETY: no window, no module, and a text with a zero at its end.
    unsafe { InstallHinfSectionW(ptr::null_mut(), ptr::null_mut(), section.as_ptr(), 0) };
    let service = Service::open("echo");
    service.start().unwrap_or_else(|error| panic!("load echo: {error}"));
    let plugin = Plugin::open_interface("echo", echo::INTERFACE, &[]).unwrap_or_else(|error| panic!("{error}"));
    let listed = Plugin::list().expect("names can be listed");
    let shown: Vec<_> = listed.iter().map(|listed| (listed.to_string(), listed.path.as_str())).collect();
    assert_eq!(shown, [("echo".to_owned(), r"\\.\kp-echo")], "it has no device, and so no address");
    assert_eq!(echo::Client(&plugin).say(b"installed"), Ok(9));
    drop(plugin);
    service.stop().unwrap_or_else(|error| panic!("unload echo: {error}"));
    until("the driver has unloaded", || service.state() == State::Stopped);
}

/// A device that no bus has found.
struct Device {
    set: HDEVINFO,
    data: SP_DEVINFO_DATA,
}

#[track_caller]
fn done(what: &str, answer: BOOL) {
    assert_ne!(answer, 0, "{what}: {}", io::Error::last_os_error());
}

impl Device {
    /// Makes one in the class that the INF names.
    fn new(inf: &Path, hardware: &str) -> Self {
        let inf = wide(inf);
        let (mut class, mut name) = (GUID::from_u128(0), [0; 64]);
        // SAFETY: a text with a zero at its end, and places to be filled in.
        let found = unsafe { SetupDiGetINFClassW(inf.as_ptr(), &mut class, name.as_mut_ptr(), 64, ptr::null_mut()) };
        done("the INF's class", found);
        // SAFETY: a class, and no window.
        let set = unsafe { SetupDiCreateDeviceInfoList(&class, ptr::null_mut()) };
        assert_ne!(set, -1, "a list of devices: {}", io::Error::last_os_error());
        let data = SP_DEVINFO_DATA { cbSize: size_of::<SP_DEVINFO_DATA>() as u32, ..Default::default() };
        let mut device = Device { set, data };
        let id = wide("KP");
        let number_it = DICD_GENERATE_ID;
        // SAFETY: the list of above, a text with a zero at its end, no description, no window, and a struct to be filled in.
        let made = unsafe {
            SetupDiCreateDeviceInfoW(
                set,
                id.as_ptr(),
                &class,
                ptr::null(),
                ptr::null_mut(),
                number_it,
                &mut device.data,
            )
        };
        done("a device", made);
        // A list of texts, with an empty one at its end.
        let ids: Vec<u8> = wide(hardware).into_iter().chain([0]).flat_map(u16::to_le_bytes).collect();
        // SAFETY: a device of the list, and bytes with their length.
        let set = unsafe {
            SetupDiSetDeviceRegistryPropertyW(set, &mut device.data, SPDRP_HARDWAREID, ids.as_ptr(), ids.len() as u32)
        };
        done("its hardware", set);
        // SAFETY: a device of the list.
        let registered = unsafe { SetupDiCallClassInstaller(DIF_REGISTERDEVICE, device.set, &device.data) };
        done("its registration", registered);
        device
    }

    /// Installs the driver for it: the device is then started.
    fn install(&self, inf: &Path, hardware: &str) {
        let (inf, hardware) = (wide(inf), wide(hardware));
        let flags = INSTALLFLAG_FORCE;
        // SAFETY: no window, and texts with a zero at their ends.
        let updated = unsafe {
            UpdateDriverForPlugAndPlayDevicesW(ptr::null_mut(), hardware.as_ptr(), inf.as_ptr(), flags, ptr::null_mut())
        };
        done("the installation", updated);
    }

    fn remove(self) {
        // SAFETY: a device of the list.
        done("the removal", unsafe { SetupDiCallClassInstaller(DIF_REMOVE, self.set, &self.data) });
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: a list, freed once.
        unsafe { SetupDiDestroyDeviceInfoList(self.set) };
    }
}
