//! The devices' names, `\\.\kp-echo` and `\\.\kp-edu.0`.
#![expect(unsafe_code, reason = "std knows neither services nor the names of devices")]
use super::{errors, node::Node};
use crate::{Cause, Connection, Listed, Name, OpenError, connection::address_of, system::System};
use kp_abi::Status;
use std::{ffi::OsStr, io, os::windows::ffi::OsStrExt, ptr, sync::Arc};
use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_DEV_NOT_EXIST, ERROR_FILE_NOT_FOUND, ERROR_INSUFFICIENT_BUFFER,
        ERROR_NO_SUCH_DEVICE, ERROR_PATH_NOT_FOUND,
    },
    Storage::FileSystem::QueryDosDeviceW,
    System::Services::{
        CloseServiceHandle, OpenSCManagerW, OpenServiceW, QueryServiceStatus, SC_HANDLE, SC_MANAGER_CONNECT,
        SERVICE_QUERY_STATUS, SERVICE_RUNNING, SERVICE_STATUS,
    },
};

/// What all names begin with.
const PREFIX: &str = "kp-";

/// What was opened.
pub struct Place {
    /// The device's path.
    pub path: String,
    /// The plugin's name.
    pub plugin: String,
}

fn path(name: &Name) -> String {
    format!(r"\\.\{PREFIX}{name}")
}

/// Opens the device of `name`; without an instance, the lowest one.
pub fn open(text: &str) -> Result<(Arc<dyn Connection>, Place), OpenError> {
    let Ok(name) = text.parse::<Name>() else {
        return Err(OpenError { place: format!("{text:?}"), plugin: None, cause: Cause::BadName });
    };
    let plugin = name.plugin().to_owned();
    let path = path(&lowest(name));
    match Node::open(&path) {
        Ok(node) => Ok((Arc::new(node), Place { path, plugin })),
        Err(error) => {
            let cause = cause(error, &plugin);
            Err(OpenError { place: path, plugin: Some(plugin), cause })
        }
    }
}

/// The name that there is a device for, if it leaves the instance open. The plugin's own name if there is none: opening then says
/// why.
fn lowest(name: Name) -> Name {
    if name.instance().is_some() {
        return name;
    }
    let names = names().unwrap_or_default();
    names.into_iter().find(|other| other.plugin() == name.plugin()).unwrap_or(name)
}

/// All devices, sorted. Each driver is asked where its own is.
pub fn list() -> io::Result<Vec<Listed>> {
    let listed = |name: Name| {
        let path = path(&name);
        let address = Node::open(&path).ok().and_then(|node| address_of(&node));
        Listed { name, path, address }
    };
    Ok(names()?.into_iter().map(listed).collect())
}

/// Names of all devices, sorted.
fn names() -> io::Result<Vec<Name>> {
    let mut names: Vec<Name> = dos_names()?
        .split('\0')
        .filter_map(|text| text.strip_prefix(PREFIX))
        .filter_map(|text| text.parse().ok())
        .collect();
    names.sort();
    // A name can stand in the session's directory and in the global one.
    names.dedup();
    Ok(names)
}

/// The names of all devices that Win32 can open, each with a zero behind it.
fn dos_names() -> io::Result<String> {
    let mut room = vec![0u16; 1 << 14];
    loop {
        // SAFETY: `room` is writable, and as long as it says.
        let len = unsafe { QueryDosDeviceW(ptr::null(), room.as_mut_ptr(), room.len() as u32) };
        if len != 0 {
            return Ok(String::from_utf16_lossy(&room[..len as usize]));
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(ERROR_INSUFFICIENT_BUFFER as i32) || room.len() >= 1 << 24 {
            return Err(error);
        }
        room.resize(2 * room.len(), 0);
    }
}

/// Why CreateFile failed. A driver's own answer comes as its NTSTATUS, translated by Windows.
fn cause(error: io::Error, plugin: &str) -> Cause {
    match error.raw_os_error().map(|code| code as u32) {
        // The last two: its driver is to unload, or its device to go, and Windows opens neither any more.
        Some(ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND | ERROR_NO_SUCH_DEVICE | ERROR_DEV_NOT_EXIST) => {
            Cause::NoNode { is_loaded: is_running(plugin) }
        }
        Some(ERROR_ACCESS_DENIED) => Cause::Denied,
        Some(code) => match errors::status(code) {
            status @ (Status::DEVICE_GONE | Status::POISONED | Status::NO_MEMORY | Status::TOO_MANY_SESSIONS) => {
                Cause::Refused(status.into())
            }
            _ => Cause::Io(error),
        },
        None => Cause::Io(error),
    }
}

/// Whether the plugin's service runs. `false` also if this user may not know.
fn is_running(plugin: &str) -> bool {
    let name: Vec<u16> = OsStr::new(&System::Windows.loaded(plugin)).encode_wide().chain([0]).collect();
    // SAFETY: this machine's services, by default.
    let manager = unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_CONNECT) };
    let Some(manager) = Service::new(manager) else { return false };
    // SAFETY: an open handle, and a name with a zero at its end.
    let service = unsafe { OpenServiceW(manager.0, name.as_ptr(), SERVICE_QUERY_STATUS) };
    let Some(service) = Service::new(service) else { return false };
    let mut status = SERVICE_STATUS::default();
    // SAFETY: an open handle, and a struct to be filled in.
    unsafe { QueryServiceStatus(service.0, &mut status) != 0 && status.dwCurrentState == SERVICE_RUNNING }
}

/// An open handle of the service manager's.
struct Service(SC_HANDLE);

impl Service {
    fn new(handle: SC_HANDLE) -> Option<Self> {
        (!handle.is_null()).then_some(Self(handle))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // SAFETY: open, and closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windows_sys::Win32::Foundation::{ERROR_SHARING_VIOLATION, RtlNtStatusToDosError};

    #[test]
    fn a_device_that_is_not_there_is_one_line_that_says_what_to_load() {
        let Err(error) = open("no-such-plugin") else { panic!("it opens") };
        assert_eq!(
            error.to_string(),
            r"\\.\kp-no-such-plugin: no such device: is the driver loaded? `sc start kp-no-such-plugin`, or install kp-no-such-plugin.inf"
        );
    }

    #[test]
    fn each_error_of_createfile_is_a_cause_with_its_own_remedy() {
        let said = |code: u32| {
            let cause = cause(io::Error::from_raw_os_error(code as i32), "my-edu");
            OpenError { place: r"\\.\kp-my-edu.0".into(), plugin: Some("my-edu".into()), cause }.to_string()
        };
        // SAFETY: a look-up in a table.
        let of = |status: Status| unsafe { RtlNtStatusToDosError(status.ntstatus() as i32) };
        for (code, why) in [
            (ERROR_ACCESS_DENIED, "access denied: run as administrator"),
            (of(Status::DEVICE_GONE), "the device was removed: plug it in again, or boot Windows again"),
            (of(Status::TOO_MANY_SESSIONS), "the device has as many sessions as it allows: close another one"),
            (of(Status::POISONED), "the plugin has panicked: see the debugger's output, then boot Windows again"),
        ] {
            assert_eq!(said(code), format!(r"\\.\kp-my-edu.0: {why}"), "error {code}");
        }
        for code in [ERROR_FILE_NOT_FOUND, ERROR_NO_SUCH_DEVICE, ERROR_DEV_NOT_EXIST] {
            let said = said(code);
            assert!(
                said.starts_with(r"\\.\kp-my-edu.0: no such device: is the driver loaded?"),
                "error {code}: {said}"
            );
        }
        let sharing = said(ERROR_SHARING_VIOLATION);
        assert!(sharing.ends_with("see the debugger's output") && !sharing.contains('\n'), "{sharing}");
    }
}
