//! A driver's life in four steps, for a test of its author's: the device is attached, an app connects, the device is unplugged, the
//! driver is unloaded. Each step answers with an error that says what was refused, and what the driver has logged of it.
use crate::{
    bus::{Assigned, Device},
    kernel::{Machine, lock},
    nt::NtStatus,
    pdo,
    process::Mode,
    security::{Token, access},
    service::Driver,
};
use kp_abi::{Interface, Status};
use kp_sim::device::DeviceModel;
use kp_user::{ControlNode, OpenError, Plugin};
use std::{fmt, ptr, sync::Arc};

/// Lines of the log that an error shows.
const LOG_LINES: usize = 5;

/// A step was refused. `Debug` is the same text as `Display`, for a test that returns the error.
pub struct Refused {
    /// What was asked for.
    pub what: String,
    /// Who has refused, and why.
    pub why: Reason,
    /// The last lines of what drivers have logged.
    pub log: Vec<String>,
}

/// Why a step was refused.
#[derive(Debug)]
pub enum Reason {
    /// The driver, or the I/O manager, has answered this.
    Status(NtStatus),
    /// The client library has refused the plugin.
    Open(Box<OpenError>),
    /// So many handles are open.
    InUse(usize),
    /// The driver has a device still.
    Attached,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.what)?;
        match &self.why {
            Reason::Status(status) => {
                write!(f, "{status:#x}")?;
                if let Some(status) = Status::from_ntstatus(*status as u32) {
                    write!(f, ", {status:?}")?;
                }
            }
            Reason::Open(error) => write!(f, "{error}")?,
            Reason::InUse(handles) => write!(f, "{handles} handles are open: drop what is connected first")?,
            Reason::Attached => f.write_str("it drives a device: unplug that first")?,
        }
        self.log.iter().try_for_each(|line| write!(f, "\nlog: {}", line.trim_end()))
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Refused {}

/// What drivers have logged of late.
fn last_lines(log: &[String]) -> Vec<String> {
    log[log.len().saturating_sub(LOG_LINES)..].to_vec()
}

impl Machine {
    /// The bus finds a device, and its driver gets it: it is plugged in, added and started, with these interrupts.
    ///
    /// # Errors
    /// The driver refuses it. It is gone again then.
    ///
    /// # Panics
    /// If the run ends.
    pub fn attach(
        &self,
        model: impl DeviceModel + 'static,
        driver: &Driver,
        assigned: Assigned,
    ) -> Result<Device, Refused> {
        let refused = |what: &str, status| Refused {
            what: what.to_owned(),
            why: Reason::Status(status),
            log: last_lines(&self.log()),
        };
        let device = self.plug(model);
        device.add(driver).map_err(|status| refused("AddDevice", status))?;
        if let Err(status) = device.start(assigned) {
            let refused = refused("START_DEVICE", status);
            device.removed();
            return Err(refused);
        }
        Ok(device)
    }

    /// An app of an administrator opens the device of this name, `kp-card.0`, and starts a session of the interface there.
    ///
    /// # Errors
    /// There is no such device, or it refuses; or the plugin has another interface.
    ///
    /// # Panics
    /// If the run has ended.
    pub fn connect(&self, name: &str, interface: &Interface) -> Result<Plugin, Refused> {
        let path = format!(r"\\.\{name}");
        let refused = |why| Refused { what: format!("open {path}"), why, log: last_lines(&self.log()) };
        let process = self.process(Token::Administrator);
        let handle = process.open(&path, access::READ | access::WRITE, Mode::Overlapped);
        let handle = handle.map_err(|status| refused(Reason::Status(status)))?;
        let node = Arc::new(ControlNode::over(handle));
        Plugin::over(node, interface, &[]).map_err(|error| refused(Reason::Open(error.into())))
    }
}

impl Device {
    /// The device is taken away in an orderly way: [`remove`](Self::remove), and it is no more.
    ///
    /// # Errors
    /// Handles are open, or the driver refuses. The device stays where it is then.
    ///
    /// # Panics
    /// If the run ends.
    pub fn unplug(self) -> Result<(), Refused> {
        let what = "QUERY_REMOVE_DEVICE".to_owned();
        self.remove().map_err(|status| Refused {
            what,
            why: match self.open_handles() {
                0 => Reason::Status(status),
                handles => Reason::InUse(handles),
            },
            log: last_lines(&self.kernel.log_lines()),
        })
    }
}

impl Driver {
    /// Stops the service, and waits until the driver is unloaded.
    ///
    /// # Errors
    /// Handles are open, or a device is attached, or the driver cannot be unloaded. Then it stays loaded.
    ///
    /// # Panics
    /// If the run ends.
    pub fn unload(self) -> Result<(), Refused> {
        let refused =
            |why| Refused { what: "stop of the service".to_owned(), why, log: last_lines(&self.kernel.log_lines()) };
        match self.open_handles() {
            0 => {}
            handles => return Err(refused(Reason::InUse(handles))),
        }
        if self.is_attached() {
            return Err(refused(Reason::Attached));
        }
        self.stop().map_err(|status| refused(Reason::Status(status)))?;
        self.wait_until_unloaded();
        Ok(())
    }

    /// Has it a device object on the stack of a device of the bus?
    fn is_attached(&self) -> bool {
        let drives = |&pdo: &usize| {
            let top = pdo::top(ptr::with_exposed_provenance_mut(pdo));
            // SAFETY: the top device of the bus's stack; the device in the slot is there.
            unsafe { (*top).driver_object }.expose_provenance() == self.service.object
        };
        lock(&self.kernel.slots).keys().any(drives)
    }
}
