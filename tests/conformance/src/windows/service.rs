//! A driver's service: how it is loaded and unloaded.
use std::{ffi::OsStr, fmt, io, os::windows::ffi::OsStrExt, path::Path, ptr};
use windows_sys::Win32::System::Services::*;

/// The service `kp-<plugin>`. One that was made here exists until this is dropped.
pub struct Service {
    name: String,
    handle: Handle,
    is_ours: bool,
}

/// What Windows says of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is loaded.
    Running,
    /// It was told to unload, and is not gone yet.
    Stopping,
    /// It is not loaded.
    Stopped,
}

impl Service {
    /// Makes the service of the driver in `file`; nothing is loaded yet.
    pub fn create(plugin: &str, file: &Path) -> Self {
        let name = format!("kp-{plugin}");
        let (wide, path) = (wide(&name), wide(file));
        let manager = manager();
        // SAFETY: an open handle, texts with a zero at their ends, and nothing where nothing is asked for.
        let handle = unsafe {
            CreateServiceW(
                manager.0,
                wide.as_ptr(),
                wide.as_ptr(),
                SERVICE_ALL_ACCESS,
                SERVICE_KERNEL_DRIVER,
                SERVICE_DEMAND_START,
                SERVICE_ERROR_NORMAL,
                path.as_ptr(),
                ptr::null(),
                ptr::null_mut(),
                ptr::null(),
                ptr::null(),
                ptr::null(),
            )
        };
        Self { handle: Handle::new(handle, &name), name, is_ours: true }
    }

    /// A service that was installed in another way.
    pub fn open(plugin: &str) -> Self {
        let name = format!("kp-{plugin}");
        let (manager, wide) = (manager(), wide(&name));
        // SAFETY: an open handle, and a text with a zero at its end.
        let handle = unsafe { OpenServiceW(manager.0, wide.as_ptr(), SERVICE_ALL_ACCESS) };
        Self { handle: Handle::new(handle, &name), name, is_ours: false }
    }

    /// Loads the driver: its DriverEntry has returned when this does. `Err`: Windows' error.
    pub fn start(&self) -> io::Result<()> {
        // SAFETY: an open handle, and no arguments.
        match unsafe { StartServiceW(self.handle.0, 0, ptr::null()) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Tells the driver to unload. `Err`: Windows' error.
    pub fn stop(&self) -> io::Result<()> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: an open handle, and a struct to be filled in.
        match unsafe { ControlService(self.handle.0, SERVICE_CONTROL_STOP, &mut status) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Whether it is loaded.
    pub fn state(&self) -> State {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: an open handle, and a struct to be filled in.
        let known = unsafe { QueryServiceStatus(self.handle.0, &mut status) };
        assert_ne!(known, 0, "{}: {}", self.name, io::Error::last_os_error());
        match status.dwCurrentState {
            SERVICE_STOPPED => State::Stopped,
            SERVICE_STOP_PENDING => State::Stopping,
            _ => State::Running,
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !self.is_ours {
            return;
        }
        // SAFETY: an open handle.
        let deleted = unsafe { DeleteService(self.handle.0) };
        assert!(deleted != 0 || std::thread::panicking(), "{}: {}", self.name, io::Error::last_os_error());
    }
}

fn manager() -> Handle {
    // SAFETY: this machine's services, by default.
    let manager = unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_ALL_ACCESS) };
    Handle::new(manager, &"the service manager")
}

/// A handle of the service manager's.
struct Handle(SC_HANDLE);

impl Handle {
    fn new(handle: SC_HANDLE, what: &dyn fmt::Display) -> Self {
        assert!(!handle.is_null(), "{what}: {}", io::Error::last_os_error());
        Self(handle)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: open, and closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// A text as Windows takes it, with a zero at its end.
pub fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}
